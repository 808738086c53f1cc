"""Jobs of the gateway: one lane of effects per queue, and the ledger's retention."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import Job, job
from scrm.kernel.settings import settings
from scrm.wecom import circuits
from scrm.wecom.lane import Lane, has_work
from scrm.wecom.models import Effect, Parked
from scrm.wecom.outcomes import FINAL
from scrm.wecom.telling import tell_again

FORGET_AT_ONCE = 5000  # rows deleted per transaction


@job(Queue.URGENT, due=lambda: has_work(Queue.URGENT))
def carry_out_urgent() -> None:
    """Welcomes, replies, messages to staff."""
    _carry_out(Queue.URGENT)


@job(Queue.EVENTS, due=lambda: has_work(Queue.EVENTS))
def carry_out_events() -> None:
    """Tags, remarks, contact ways."""
    _carry_out(Queue.EVENTS)


@job(Queue.BROADCAST, due=lambda: has_work(Queue.BROADCAST))
def carry_out_broadcast() -> None:
    """Broadcast tasks, reminders, cancellations."""
    _carry_out(Queue.BROADCAST)


@job(Queue.BACKGROUND, due=lambda: has_work(Queue.BACKGROUND))
def carry_out_background() -> None:
    """Effects that somebody sent to the background on purpose."""
    _carry_out(Queue.BACKGROUND)


LANES: dict[Queue, Job] = {
    Queue.URGENT: carry_out_urgent,
    Queue.EVENTS: carry_out_events,
    Queue.BROADCAST: carry_out_broadcast,
    Queue.BACKGROUND: carry_out_background,
}


def _carry_out(queue: Queue) -> None:
    tell_again(queue)
    if Lane(queue).run():
        LANES[queue].wake()


def _circuits_changed() -> bool:
    present = circuits.open_now()
    return present is not None and circuits.differ(present)


@job(Queue.URGENT, due=_circuits_changed)
def watch_circuits() -> None:
    """Tell which APIs are left alone for silence since the last look, and which answer again."""
    present = circuits.open_now()
    if present is not None:
        with transaction():
            circuits.record_changes(present)


@job(Queue.BACKGROUND)
def forget_effects() -> None:
    """Delete settled effects older than ``effects.retention_days``; open ones stay until somebody settles them."""
    before = utcnow() - timedelta(days=settings().effects.retention_days)
    told = Effect.tell_at.is_(None) & Effect.parked.is_distinct_from(Parked.UNTOLD)
    old = (
        select(Effect.id)
        .where(Effect.state.in_(FINAL), Effect.finished_at < before, told)
        .limit(FORGET_AT_ONCE)
    )
    with transaction():
        circuits.forget(before)
    while True:
        with transaction():
            gone = session().execute(delete(Effect).where(Effect.id.in_(old)).returning(Effect.id)).all()
        if len(gone) < FORGET_AT_ONCE:
            return
