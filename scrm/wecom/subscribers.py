"""Reactions: planned effects wake their lane."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.events import subscribe
from scrm.wecom.events import EffectsPlanned
from scrm.wecom.jobs import LANES


@subscribe(EffectsPlanned)
def wake_lanes(planned: Sequence[EffectsPlanned]) -> None:
    """Wake each lane once."""
    for queue in {event.queue for event in planned}:
        LANES[queue].wake()
