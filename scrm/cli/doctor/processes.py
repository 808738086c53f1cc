"""Checks of clock, workers and what waits for them."""

from __future__ import annotations

from datetime import UTC, datetime

from rq import Queue as RqQueue
from rq import Worker
from rq.serializers import JSONSerializer
from sqlalchemy import text

from config.queues import Queue
from scrm.cli.doctor.finding import Finding
from scrm.kernel.beats import who
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.redis import redis

SILENT_SECONDS = 60  # an idle worker says something every 15 s, a job ends after about 20 s
WAIT_SECONDS = 60.0  # a wake-up or a due row older than this means that nobody keeps up
INBOX = """
SELECT count(*) FILTER (WHERE state <> 'dead') AS open, count(*) FILTER (WHERE state = 'dead') AS dead,
       coalesce(extract(epoch FROM now() - min(coalesce(next_at, received_at)) FILTER (WHERE state <> 'dead')), 0)::float AS age
FROM callback_inbox WHERE state IN ('received', 'processing', 'failed', 'dead')
"""
EFFECTS = """
SELECT count(*) AS open, coalesce(extract(epoch FROM now() - min(coalesce(next_at, created_at))), 0)::float AS age
FROM effects WHERE state IN ('planned', 'sent', 'unknown')
"""


def clock() -> Finding:
    """Some clock leads."""
    leading = who("clock")
    if leading:
        return Finding("clock", True, f"{leading} leads")
    return Finding("clock", False, "no clock has reported within 10 s", "start `scrm clock`")


def workers() -> list[Finding]:
    """Every queue has a worker that reported lately."""
    now = datetime.now(UTC)
    living: dict[str, int] = {}
    for worker in Worker.all(connection=redis()):
        beat = worker.last_heartbeat
        if beat and (now - beat.replace(tzinfo=UTC)).total_seconds() < SILENT_SECONDS:
            for name in worker.queue_names():
                living[name] = living.get(name, 0) + 1
    return [_workers_of(queue, living.get(queue.value, 0)) for queue in Queue]


def _workers_of(queue: Queue, number: int) -> Finding:
    if number:
        return Finding(f"workers of {queue}", True, f"{number} alive")
    return Finding(
        f"workers of {queue}", False, "none has reported within 60 s", f"start `scrm worker {queue}`"
    )


def queues() -> list[Finding]:
    """No wake-up waits long."""
    return [_queue(RqQueue(name, connection=redis(), serializer=JSONSerializer)) for name in Queue]


def _queue(queue: RqQueue) -> Finding:
    first = next(iter(queue.get_jobs(0, 1)), None)
    sent = first.enqueued_at if first else None
    age = (utcnow() - sent.replace(tzinfo=UTC)).total_seconds() if sent else 0.0
    return _waiting(f"queue {queue.name}", queue.count, age, f"start another `scrm worker {queue.name}`")


def inbox() -> Finding:
    """No callback waits long, none is dead."""
    row = session().execute(text(INBOX)).mappings().one()
    if row["dead"]:
        detail = f"{row['dead']} dead, {row['open']} open"
        return Finding(
            "inbox",
            False,
            detail,
            "`scrm inbox list --state dead` shows why, `scrm inbox replay` tries again",
        )
    return _waiting("inbox", row["open"], row["age"], "look at the log of `scrm worker events`")


def effects() -> Finding:
    """No change that is due at WeCom waits long."""
    row = session().execute(text(EFFECTS)).mappings().one()
    return _waiting(
        "effects", row["open"], row["age"], "`scrm effects list --state planned` shows what waits and why"
    )


def _waiting(check: str, number: int, age: float, way_out: str) -> Finding:
    well = age < WAIT_SECONDS
    detail = f"{number} waiting" + (f", the oldest for {age:.0f} s" if number and age > 0 else "")
    return Finding(check, well, detail, "" if well else way_out)
