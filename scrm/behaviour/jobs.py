"""Retention of events."""

from __future__ import annotations

from config.queues import Queue
from scrm.behaviour.service import forgetting
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job


@job(Queue.BACKGROUND)
def forget_behaviour() -> None:
    """Delete events that are older than their type is kept; a few thousand per transaction."""
    expiring = forgetting.expiring()
    session().rollback()  # nothing stays open between the batches
    for type_id, before in expiring.items():
        gone = forgetting.AT_ONCE
        while gone >= forgetting.AT_ONCE:
            with transaction():
                gone = forgetting.forget_events(type_id, before)
