"""The schedule names jobs that exist."""

from __future__ import annotations

import re

from config.queues import Queue
from config.schedule import SCHEDULE, Daily
from scrm.bootstrap import load_packages
from scrm.kernel.jobs import JOBS


def test_every_scheduled_job_exists() -> None:
    load_packages()
    assert {entry.job for entry in SCHEDULE} <= set(JOBS)


def test_no_job_is_scheduled_twice() -> None:
    names = [entry.job for entry in SCHEDULE]
    assert len(names) == len(set(names))


def test_daily_times_are_wall_clock_times() -> None:
    times = [entry.at for entry in SCHEDULE if isinstance(entry, Daily)]
    assert all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", time) for time in times)


def test_every_job_with_a_due_question_is_asked() -> None:
    """A job that can say whether it has work, and is never asked, would be woken only by what may get lost."""
    load_packages()
    asked = {entry.job for entry in SCHEDULE}
    assert {name for name, made in JOBS.items() if made.due is not None} <= asked


def test_every_job_belongs_to_a_known_queue() -> None:
    load_packages()
    assert {made.queue for made in JOBS.values()} <= set(Queue)
