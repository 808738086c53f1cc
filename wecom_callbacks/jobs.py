"""What workers run for the inbox: one drain per lane, on its own queue, and the daily purge."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.jobs import Job, job, others_wait
from scrm.kernel.settings import settings
from wecom_callbacks import service
from wecom_callbacks.drain import work_batch
from wecom_callbacks.models import Lane
from wecom_callbacks.queries import inbox_due
from wecom_callbacks.registry import load_handlers

log = structlog.get_logger(__name__)

RUN_SECONDS = 5.0  # then the job wakes itself again, so that SIGTERM never waits long
PURGE_BATCH = 5000

load_handlers()


def urgent_due() -> bool:
    """Whether the urgent lane has work."""
    return inbox_due(Lane.URGENT)


def events_due() -> bool:
    """Whether the events lane has work."""
    return inbox_due(Lane.EVENTS)


@job(Queue.URGENT, due=urgent_due)
def drain_urgent() -> None:
    """Handle callbacks that cannot wait: welcome codes, customer-service messages."""
    _drain(Lane.URGENT)


@job(Queue.EVENTS, due=events_due)
def drain_events() -> None:
    """Handle all other callbacks."""
    _drain(Lane.EVENTS)


DRAINS: dict[Lane, Job] = {Lane.URGENT: drain_urgent, Lane.EVENTS: drain_events}


def _drain(lane: Lane) -> None:
    """Batches until nothing is due, the time is over, or another job of the queue waits for its turn."""
    until = time.monotonic() + RUN_SECONDS
    while work_batch(lane):
        if time.monotonic() > until or others_wait(DRAINS[lane].queue):
            DRAINS[lane].wake()
            return


def replay_and_wake(selection: service.Selection) -> service.Replayed:
    """Replay (:func:`wecom_callbacks.service.replay`) in a transaction of its own and wake the lanes; for the edge."""
    with transaction():
        done = service.replay(selection)
        for lane in done.lanes:
            DRAINS[lane].wake()
    return done


@job(Queue.BACKGROUND)
def purge_inbox() -> None:
    """Delete callbacks that were done longer ago than the settings keep them; dead ones stay."""
    before = utcnow() - timedelta(days=settings().inbox.retention_days)
    gone = PURGE_BATCH
    while gone == PURGE_BATCH:
        with transaction():
            gone = service.purge_finished(before, PURGE_BATCH)
        log.info("inbox purged", rows=gone)
    with transaction():
        service.purge_notices(before)
