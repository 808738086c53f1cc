"""What groups do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.groups.service.linking import link_staff, move_staff
from scrm.kernel.events import subscribe
from scrm.staff.events import StaffFound, StaffMerged


@subscribe(StaffFound)
def recognize_staff(events: Sequence[StaffFound]) -> None:
    """Stays of a member who became known are linked."""
    link_staff([id_ for event in events for id_ in event.staff_ids])


@subscribe(StaffMerged)
def move_to_kept_member(events: Sequence[StaffMerged]) -> None:
    """Groups and stays follow the member whose userid changed."""
    for event in events:
        move_staff(event.kept_id, event.gone_id)
