"""What staff does when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.events import subscribe
from scrm.staff import jobs
from scrm.staff.events import StaffFound


@subscribe(StaffFound)
def ask_for_details(events: Sequence[StaffFound]) -> None:
    """Who is known by userid only gets a name."""
    jobs.complete_staff.wake()
