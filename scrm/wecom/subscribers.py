"""Reactions: planned effects, and WeCom's answering again, wake lanes."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.events import subscribe
from scrm.wecom.events import CircuitClosed, EffectsPlanned
from scrm.wecom.jobs import LANES
from scrm.wecom.limits_table import GETTOKEN
from scrm.wecom.registry import kinds


@subscribe(EffectsPlanned)
def wake_lanes(planned: Sequence[EffectsPlanned]) -> None:
    """Wake each lane once."""
    for queue in {event.queue for event in planned}:
        LANES[queue].wake()


@subscribe(CircuitClosed)
def wake_lanes_of_open_apis(closed: Sequence[CircuitClosed]) -> None:
    """Wake the lanes of the kinds that call there, so that what waited goes at once."""
    apis = {event.api for event in closed}
    for queue in {kind.queue for kind in kinds().values() if {kind.api, kind.asked_at, GETTOKEN} & apis}:
        LANES[queue].wake()
