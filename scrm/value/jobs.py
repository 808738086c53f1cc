"""What workers do for the value of persons."""

from __future__ import annotations

import time

from config.queues import Queue
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job, others_wait
from scrm.value.queries.settings import settings_due
from scrm.value.service import recomputing

RUN_SECONDS = 20.0
BATCH = 5_000


@job(Queue.BACKGROUND, due=recomputing.wanted)
def recompute_wanted() -> None:
    """Work out persons whose orders changed."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            taken = recomputing.recompute_wanted(BATCH)
        if taken < BATCH:
            return
        if time.monotonic() > until or others_wait(Queue.BACKGROUND):
            recompute_wanted.wake()
            return


@job(Queue.BACKGROUND)
def recompute_everybody() -> None:
    """A day has passed: recency, quantiles and stages of everybody."""
    with transaction():
        recomputing.recompute_everybody()


@job(Queue.BACKGROUND, due=settings_due)
def apply_settings() -> None:
    """Cut-points or stages were set: everybody by them."""
    if settings_due():
        recompute_everybody()
