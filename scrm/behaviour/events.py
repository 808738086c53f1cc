"""What can happen to behaviour; told once per batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Stored(NamedTuple):
    """One event that is there now."""

    event_id: int
    at: datetime
    person_id: int
    type_id: int


@dataclass(frozen=True)
class BehaviourStored:
    """Events of these persons and types are new, changed or gone.

    :param person_ids: everybody with a change, also who lost an event to another person; sorted
    :param type_ids: the types that changed; sorted
    :param new: events that were not known before
    :param timeline: those of ``new`` and of the changed ones whose type shows on timelines
    :param recount: True when rows were also changed or taken away, so that adding ``new`` to a figure is not enough
    """

    person_ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    new: tuple[Stored, ...] = ()
    timeline: tuple[Stored, ...] = ()
    recount: bool = False

    def pairs(self) -> set[tuple[int, int]]:
        """(person, type) whose events changed; after a recount more than need be."""
        if self.recount or not self.new:
            return {(person, type_) for person in self.person_ids for type_ in self.type_ids}
        return {(one.person_id, one.type_id) for one in self.new}
