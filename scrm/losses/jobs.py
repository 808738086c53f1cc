"""What workers do for losses."""

from __future__ import annotations

import time

import structlog

from config.queues import Queue
from scrm.customers.queries import relations_end
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job, others_wait
from scrm.kernel.turns import keep_place, place_of
from scrm.losses.queries import work
from scrm.losses.service.judging import BATCH, judge_losses
from scrm.losses.service.recording import reconsider

log = structlog.get_logger(__name__)
RUN_SECONDS = 10.0
FILL_SECONDS = 20.0  # all others of the queue wait meanwhile; the rest of a long fill follows in its turn
FOLLOWS = 20_000  # looked at by one question
CHUNK = 1_000  # worked out in one transaction


@job(Queue.EVENTS, due=work.judging_due)
def tell_losses() -> None:
    """Alerts and alarms for losses that became known."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            judged = judge_losses()
            reached("losses_before_commit")
        if judged < BATCH:
            return
        if time.monotonic() > until or others_wait(Queue.EVENTS):
            tell_losses.wake()
            return


@job(Queue.BACKGROUND)
def fill_losses() -> None:
    """Losses and returns that only the relations themselves know: from before there were losses, and from syncs.

    What is worked out already is not looked for again, so the job may run twice or be killed anywhere.
    """
    until, filled, after = time.monotonic() + FILL_SECONDS, 0, place_of(fill_losses)
    while (end := relations_end(after, FOLLOWS)) is not None:
        relations = work.relations_behind(after, end)
        session().rollback()
        for start in range(0, len(relations), CHUNK):
            with transaction():
                work.lock_relations(relations[start : start + CHUNK])
                reconsider(relations[start : start + CHUNK])
        filled, after = filled + len(relations), end
        if time.monotonic() > until:
            break
    else:
        after = 0
    with transaction():
        keep_place(fill_losses, after)
        if after:
            fill_losses.wake()  # with the place, so that another worker does not begin where this turn did
    log.info("losses compared with relations", worked_out=filled)
