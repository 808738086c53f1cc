"""What workers do for alerts."""

from __future__ import annotations

import time

import structlog

from config.queues import Queue
from scrm.alerts import queries, service
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job, others_wait

log = structlog.get_logger(__name__)
RUN_SECONDS = 2.0  # the urgent worker has welcomes to send


@job(Queue.URGENT, due=queries.messages_due)
def send_alerts() -> None:
    """Make messages of what is due; the effect lane sends them."""
    until = time.monotonic() + RUN_SECONDS
    while queries.can_tell():
        with transaction():
            made = service.plan_messages()
            reached("alerts_before_commit")
        reached("alerts_planned")
        if made < service.RECEIVERS:
            return
        if time.monotonic() > until or others_wait(Queue.URGENT):
            send_alerts.wake()
            return


@job(Queue.BACKGROUND)
def forget_alerts() -> None:
    """Delete what was told long ago."""
    total = 0
    while True:
        with transaction():
            gone = service.forget_alerts()
        total += gone
        if not gone:
            break
    log.info("old alerts forgotten", alerts=total)
