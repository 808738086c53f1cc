"""Counts per day follow their persons."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.behaviour.service.counting import recount_days
from scrm.kernel.events import subscribe
from scrm.people.events import PeopleMerged, PeopleSplit


@subscribe(PeopleMerged)
def recount_merged(events: Sequence[PeopleMerged]) -> None:
    """The kept person has the other's days too."""
    recount_days([person for event in events for person in (event.kept, event.gone)])


@subscribe(PeopleSplit)
def recount_split(events: Sequence[PeopleSplit]) -> None:
    """Both have their own days again."""
    recount_days([person for event in events for person in (event.person_id, event.restored)])
