"""What workers do for sets of customers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from config.queues import Queue
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.settings import settings
from tags.columns.service.noting import ensure_base
from tags.sets.service import backing, upkeep

SLICE = 50  # sets of one transaction, so that few lie in the worker's memory at once
RUN_SECONDS = 20.0
CHECKS_AN_HOUR = 4  # as config/schedule.py wakes check_sets


@job(Queue.BACKGROUND, due=lambda: bool(upkeep.used_lately()))
def keep_sets() -> None:
    """Bring the sets that were used lately to the present, until all are or 20 s are over."""
    _in_slices(_read(upkeep.used_lately), upkeep.keep)


@job(Queue.BACKGROUND, due=lambda: bool(upkeep.base_keys()))
def warm_sets() -> None:
    """Ask for the sets that most questions need before anybody does, and keep them near the present."""
    if _in_slices(_read(upkeep.base_keys), upkeep.warm):
        warm_sets.wake()


@job(Queue.BACKGROUND, due=lambda: bool(backing.aged()))
def back_sets() -> None:
    """Write the sets of Redis into PostgreSQL too, so that nobody waits long after Redis was emptied."""
    with transaction():
        ensure_base()
    unfinished = _in_slices(_read(backing.aged), backing.back)
    with transaction():
        backing.make_room()
    if unfinished:
        back_sets.wake()


@job(Queue.BACKGROUND, due=lambda: settings().sets.checked_per_hour > 0)
def check_sets() -> None:
    """Compare some sets with SQL, in one snapshot each time, and mend what differs."""
    count = -(-settings().sets.checked_per_hour // CHECKS_AN_HOUR)
    for key in _read(lambda: upkeep.some_keys(count)):
        with transaction():
            session().connection(execution_options={"isolation_level": "REPEATABLE READ"})
            upkeep.compare([key])


@job(Queue.BACKGROUND, due=upkeep.forgetting_due)
def forget_set_changes() -> None:
    """Delete noted changes that no set needs any more, and sets that are older than they."""
    with transaction():
        upkeep.forget_changes()
        backing.forget_old()
    upkeep.forget_old_sets()


def _in_slices(keys: Sequence[str], work: Callable[[Sequence[str]], None]) -> bool:
    """Work through keys in transactions of their own; whether time was over before all were done."""
    stop = time.monotonic() + RUN_SECONDS
    for begin in range(0, len(keys), SLICE):
        if time.monotonic() > stop:
            return True
        with transaction():
            work(keys[begin : begin + SLICE])
    return False


def _read(question: Callable[[], list[str]]) -> list[str]:
    with transaction():  # ends at once, so that no snapshot is held
        return question()
