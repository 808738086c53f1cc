"""The job queues. One worker process serves exactly one queue (docs/adr/0003-one-queue-per-worker.md)."""

from __future__ import annotations

from enum import StrEnum


class Queue(StrEnum):
    """Names of the RQ queues, most urgent first."""

    URGENT = "urgent"  # welcomes, replies, alerts to staff
    EVENTS = "events"  # inbox, tags, rules
    BROADCAST = "broadcast"  # planning and submitting broadcasts
    BACKGROUND = "background"  # sync, backfill, results, retention
