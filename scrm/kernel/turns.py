"""Daily work in turns: where it goes on is a row, so a killed worker or an emptied Redis costs a quarter of an hour, no more.

A turn works for some seconds, keeps its place, wakes its job again and ends, so that others of the queue have theirs. The
day's run counts as finished when the place is back at 0; until then the clock wakes it again (``scrm.kernel.scheduler``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.models import ScheduleRun

if TYPE_CHECKING:
    from scrm.kernel.jobs import Job


def place_of(job: Job) -> int:
    """The id behind which the next turn goes on; 0: at the beginning."""
    return session().scalar(select(ScheduleRun.place).where(ScheduleRun.name == job.name)) or 0


def keep_place(job: Job, place: int) -> None:
    """What has an id up to ``place`` is done; 0: everything is."""
    row = insert(ScheduleRun).values(name=job.name, woken_at=utcnow(), place=place)
    session().execute(row.on_conflict_do_update(index_elements=["name"], set_={"place": row.excluded.place}))
