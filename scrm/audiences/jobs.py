"""What workers do for audiences: a look a day."""

from __future__ import annotations

import time

from config.queues import Queue
from scrm.audiences.service.growth import measure, unmeasured
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job

RUN_SECONDS = 20.0
BATCH = 100


@job(Queue.BACKGROUND, due=lambda: bool(unmeasured(1)))
def measure_growth() -> None:
    """Look at every audience that was not looked at today, until none is left or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    while waiting := _waiting():
        for audience_id in waiting:
            with transaction():
                measure(audience_id)
            if time.monotonic() > stop:
                measure_growth.wake()
                return


def _waiting() -> list[int]:
    with transaction():  # ends at once, so that no snapshot is held
        return unmeasured(BATCH)
