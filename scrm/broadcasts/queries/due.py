"""Is there something to do? The clock asks before it wakes a job; the jobs ask the same to find it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from scrm.broadcasts.models import SENDER_CONFIRMED, Broadcast, BroadcastChunk, BroadcastState
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session

AT_ONCE = 8  # chunks handed over and not yet answered; a full one is about 400 kB
AT_ONCE_FIRST = 3  # until WeCom accepted one: a wrong text or media id should not burn the whole audience


def start_is_due() -> bool:
    """A scheduled broadcast's time has come."""
    return _any(
        select(Broadcast.id).where(Broadcast.state == BroadcastState.SCHEDULED, Broadcast.send_at <= utcnow())
    )


def to_freeze() -> Select[int]:
    """Ids of started broadcasts whose audience is not frozen."""
    return (
        select(Broadcast.id)
        .where(Broadcast.state == BroadcastState.PLANNING, Broadcast.frozen_at.is_(None))
        .order_by(Broadcast.id)
    )


def freeze_is_due() -> bool:
    """A started broadcast has no frozen audience yet."""
    return _any(to_freeze())


def chunk_counts(broadcast_id: int | None = None) -> Select[Any]:
    """Per broadcast in SUBMITTING: chunks ``waiting``, ``in_flight`` and ``accepted``, and the ``room`` for further ones."""
    chunk = BroadcastChunk
    unanswered = and_(chunk.closed_at.is_(None), chunk.msgid.is_(None))
    in_flight = func.count().filter(and_(unanswered, chunk.effect_id.is_not(None)))
    accepted = func.count(chunk.msgid)
    most = case((accepted > 0, AT_ONCE), else_=AT_ONCE_FIRST)
    counted = (
        select(
            chunk.broadcast_id,
            func.count().filter(and_(unanswered, chunk.effect_id.is_(None))).label("waiting"),
            in_flight.label("in_flight"),
            accepted.label("accepted"),
            (most - in_flight).label("room"),
        )
        .join(Broadcast, Broadcast.id == chunk.broadcast_id)
        .where(Broadcast.state == BroadcastState.SUBMITTING)
        .group_by(chunk.broadcast_id)
    )
    return counted if broadcast_id is None else counted.where(chunk.broadcast_id == broadcast_id)


def to_submit() -> Select[int]:
    """Ids of broadcasts with chunks to hand over now, or with all of them answered."""
    counted = chunk_counts().subquery()
    has_room = and_(counted.c.waiting > 0, counted.c.room > 0)
    complete = and_(counted.c.waiting == 0, counted.c.in_flight == 0)
    return select(counted.c.broadcast_id).where(or_(has_room, complete)).order_by(counted.c.broadcast_id)


def submission_is_due() -> bool:
    """A broadcast under way has chunks to hand over, or may go on because all are answered."""
    return _any(to_submit())


def stoppable() -> ColumnElement[bool]:
    """Chunks that WeCom has, that we want stopped, and of which it was not asked yet."""
    chunk = BroadcastChunk
    return and_(
        chunk.cancelled_at.is_not(None),
        chunk.msgid.is_not(None),
        chunk.closed_at.is_(None),
        chunk.cancel_effect_id.is_(None),
        chunk.sender_status.is_distinct_from(SENDER_CONFIRMED),
        chunk.next_at <= utcnow(),
    )


def stop_is_due() -> bool:
    """A cancelled broadcast still has tasks to stop at WeCom."""
    return _any(select(BroadcastChunk.id).where(stoppable(), _free()))


def pollable() -> ColumnElement[bool]:
    """Chunks whose results are to be asked for now; those about to be stopped are left to that."""
    chunk = BroadcastChunk
    return and_(chunk.msgid.is_not(None), chunk.closed_at.is_(None), chunk.next_at <= utcnow(), ~stoppable())


def poll_is_due() -> bool:
    """Some results are to be asked for."""
    return _any(select(BroadcastChunk.id).where(pollable(), _free()))


def _free() -> ColumnElement[bool]:
    return or_(BroadcastChunk.lease_until.is_(None), BroadcastChunk.lease_until < utcnow())


def _any(statement: Select[int]) -> bool:
    return bool(session().scalar(select(statement.exists())))
