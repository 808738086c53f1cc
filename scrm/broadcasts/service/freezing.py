"""Freezing: who receives a broadcast, from whom, in which chunk, fixed by one statement in one transaction."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import CTE, BigInteger, Text, and_, case, cast, func, insert, literal, select

from scrm.broadcasts.events import BroadcastFinished, BroadcastFrozen
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastState, BroadcastTarget, TargetState
from scrm.broadcasts.queries.audience import frozen_recipients
from scrm.broadcasts.queries.months import month_start, monthly_cap
from scrm.broadcasts.queries.saved_audiences import check_conditions
from scrm.broadcasts.service.states import move
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction

log = structlog.get_logger(__name__)


class StateMovedError(Exception):
    """The broadcast was paused or cancelled while its audience was being frozen; nothing is kept."""


def freeze_audience(broadcast_id: int) -> bool:
    """Write targets and chunks of a broadcast in PLANNING and let it go on to SUBMITTING; False: nothing to do.

    A crash leaves nothing behind. A pause or cancel in the meantime is not made to wait: it wins and this raises
    StateMovedError, so that the caller's transaction takes everything back.
    """
    hold_in_transaction(f"broadcast:{broadcast_id}:freeze")
    broadcast = session().get(Broadcast, broadcast_id, populate_existing=True)
    if broadcast is None or broadcast.state is not BroadcastState.PLANNING or broadcast.frozen_at is not None:
        return False
    try:
        check_conditions(broadcast.audience)  # "has not <a tag deleted since>" would be everybody
        chunks = _write(broadcast, utcnow())
    except (
        InvalidInput
    ) as error:  # the condition was fine when it was saved and names something that has gone since
        _fail(broadcast_id, f"the audience can no longer be worked out: {error.message}")
        return True
    log.info("audience frozen", broadcast=broadcast_id, chunks=chunks)
    if chunks == 0:
        _fail(broadcast_id, "nobody in the audience can receive it; the results say why for each")
    elif not move(
        [broadcast_id], BroadcastState.SUBMITTING, only=[BroadcastState.PLANNING], frozen_at=utcnow()
    ):
        raise StateMovedError
    publish(BroadcastFrozen(broadcast_id))
    return True


def _fail(broadcast_id: int, reason: str) -> None:
    now = utcnow()
    if not move([broadcast_id], BroadcastState.FAILED, frozen_at=now, finished_at=now, error=reason):
        raise StateMovedError
    publish(BroadcastFinished(broadcast_id))


def _write(broadcast: Broadcast, now: datetime) -> int:
    """Insert chunks and targets by one statement; returns the number of chunks."""
    recipients = frozen_recipients(broadcast, month_start(now), monthly_cap(now))
    chunks = _chunk_rows(broadcast.id, recipients)
    columns = recipients.c
    state = case(
        (columns.sender_staff_id.is_(None), TargetState.SKIPPED.value), else_=TargetState.PLANNED.value
    )
    rows = select(
        cast(literal(broadcast.id), BigInteger),
        columns.recipient,
        columns.customer_id,
        columns.group_id,
        columns.sender_staff_id,
        chunks.c.id,
        cast(state, Text),
        columns.reason,
    ).outerjoin(
        chunks,
        and_(chunks.c.sender_staff_id == columns.sender_staff_id, chunks.c.number == columns.number),
    )
    names = [
        "broadcast_id",
        "recipient",
        "customer_id",
        "group_id",
        "sender_staff_id",
        "chunk_id",
        "state",
        "reason",
    ]
    session().execute(insert(BroadcastTarget).from_select(names, rows))
    counted = select(func.count()).where(BroadcastChunk.broadcast_id == broadcast.id)
    return session().scalar(counted) or 0


def _chunk_rows(broadcast_id: int, recipients: CTE) -> CTE:
    """The chunks as they are inserted; first chunks of all senders come before second ones."""
    columns = recipients.c
    grouped = (
        select(cast(literal(broadcast_id), BigInteger), columns.sender_staff_id, columns.number, func.count())
        .where(columns.sender_staff_id.is_not(None))
        .group_by(columns.sender_staff_id, columns.number)
        .order_by(columns.number, columns.sender_staff_id)
    )
    return (
        insert(BroadcastChunk)
        .from_select(["broadcast_id", "sender_staff_id", "number", "recipients"], grouped)
        .returning(BroadcastChunk.id, BroadcastChunk.sender_staff_id, BroadcastChunk.number)
        .cte("chunks")
    )
