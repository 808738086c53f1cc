"""What workers do for rules: changed customers, time, backfills and undos."""

from __future__ import annotations

import random
import time

from sqlalchemy import exists, select

from config.queues import Queue
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from tags.models import RuleDue
from tags.rules.service.days import daily_due, start_daily_runs
from tags.rules.service.expiring import expire_slice, expiry_due
from tags.rules.service.marking import sweep, sweep_due
from tags.rules.service.working import advance_run, due_shards, evaluate_due, open_runs

RUN_SECONDS = 20.0


@job(Queue.EVENTS, due=lambda: bool(session().scalar(select(exists().select_from(RuleDue)))))
def evaluate_rules() -> None:
    """Evaluate customers whose facts changed, shard by shard, until none waits or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    while shards := _read(due_shards):
        random.shuffle(shards)  # several workers begin in different places
        for shard in shards:
            with transaction():
                evaluate_due(shard)
            if time.monotonic() > stop:
                evaluate_rules.wake()
                return


@job(Queue.BACKGROUND, due=sweep_due)
def sweep_time_rules() -> None:
    """Find the customers whose answer the clock alone has changed."""
    with transaction():
        if sweep():
            evaluate_rules.wake()


@job(Queue.BACKGROUND, due=lambda: bool(session().scalar(select(daily_due()))))
def start_daily_rules() -> None:
    """Start the runs of rules whose time of day has come."""
    with transaction():
        start_daily_runs()


@job(Queue.BACKGROUND, due=lambda: bool(session().scalar(select(expiry_due()))))
def expire_rule_tags() -> None:
    """Take tags away whose days are over, in slices, until none is left or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    while time.monotonic() < stop:
        with transaction():
            if not expire_slice():
                return
    expire_rule_tags.wake()


@job(Queue.BACKGROUND, due=lambda: bool(open_runs()))
def backfill_rules() -> None:
    """Carry on with backfills, undos and retirements, in slices of 1,000 customers, until all are done or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    for run_id in _read(open_runs):
        more = True
        while more:
            if time.monotonic() > stop:
                backfill_rules.wake()
                return
            with transaction():
                more = advance_run(run_id)
                reached("backfill_slice")
            reached("backfill_slice_done")


def _read(question: object) -> list[int]:
    with transaction():  # ends at once, so that no snapshot is held
        answer: list[int] = question()  # type: ignore[operator]
    return answer
