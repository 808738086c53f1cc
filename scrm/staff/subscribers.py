"""What staff does when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.kernel.events import subscribe
from scrm.staff import jobs
from scrm.staff.events import DepartmentsDoubted, StaffFound, StaffListDoubted


@subscribe(StaffFound)
def ask_for_details(events: Sequence[StaffFound]) -> None:
    """Who is known by userid only gets a name."""
    jobs.complete_staff.wake()


@subscribe(DepartmentsDoubted)
def ask_about_departments(events: Sequence[DepartmentsDoubted]) -> None:
    """WeCom knows how they stand."""
    jobs.complete_staff.wake()


@subscribe(StaffListDoubted)
def read_everybody(events: Sequence[StaffListDoubted]) -> None:
    """An import has changed many at once; if this wake-up is lost, the nightly reading does it."""
    jobs.refresh_staff.wake()
