"""How the property tests draw their examples: the same in every run, or others each time, and more of them.

``pytest`` takes the first, so that what is refused once is refused again, and a run on a busy machine fails by no
clock; ``pytest --hypothesis-profile=explore`` looks where no run has looked before (docs/testing.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, seed, settings

REPEATABLE = "repeatable"
EXPLORE = "explore"
MORE = 10
"""So many times the examples of a repeatable run are drawn to explore."""
UNCHECKED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
"""Neither a busy machine nor a large world is a failure, and tests that write undo the example before by themselves."""


def register_profiles() -> None:
    """Make both known to hypothesis and choose the repeatable one; call before any test file is imported."""
    calm = settings(deadline=None, database=None, print_blob=True, suppress_health_check=UNCHECKED)
    settings.register_profile(REPEATABLE, calm, derandomize=True)
    settings.register_profile(EXPLORE, calm, max_examples=calm.max_examples * MORE)
    settings.load_profile(REPEATABLE)


def examples(count: int, **more: Any) -> settings:
    """Decorator of a test to which ``count`` examples are enough in a repeatable run; keywords are further settings."""
    return settings(max_examples=count * MORE if _explores() else count, **more)


def seeded(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The examples number ``number`` of a test that draws several times over; to explore, others each time."""
    return seed(random.SystemRandom().getrandbits(64) if _explores() else number)


def _explores() -> bool:
    return settings.get_current_profile_name() == EXPLORE
