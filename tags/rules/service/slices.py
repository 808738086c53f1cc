"""What every slice of a run writes down about it."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.clock import utcnow
from tags.models import RuleRun, RunState
from tags.service import Wish, assign


def apply(run: RuleRun, wishes: Sequence[Wish]) -> None:
    """Carry out wishes and count what they changed."""
    changes = assign(wishes)
    run.added += changes.added
    run.removed += changes.removed


def finish(run: RuleRun, state: RunState, error: str | None = None) -> bool:
    """The run is over; says that nothing is left."""
    run.state, run.error, run.finished_at = state, error, utcnow()
    return False
