"""Submitting: chunks become `broadcast` effects, a few at a time, so that a pause or a cancel still finds some left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from scrm.broadcasts.events import BroadcastFinished
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastKind, BroadcastState, BroadcastTarget
from scrm.broadcasts.queries.bulk import bigints, change, rows_of
from scrm.broadcasts.queries.due import chunk_counts
from scrm.broadcasts.service.finishing import finish_broadcasts
from scrm.broadcasts.service.states import move
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.models import Staff
from scrm.wecom.effects import Intent, plan

log = structlog.get_logger(__name__)

UNREACHABLE = 41048  # nobody of this chunk can receive: says nothing about the other chunks
SUBJECT = "broadcast_chunk:"


def submit_next_chunks(broadcast_id: int) -> int:
    """Plan effects for the next chunks of a broadcast in SUBMITTING; returns how many.

    The broadcast's row is held until the commit, so that a pause or cancel comes wholly before or after. When every
    chunk has been answered the broadcast goes on to OPEN (or FAILED if WeCom refused all).
    """
    broadcast = _held(broadcast_id)
    if broadcast is None:
        return 0
    counts = session().execute(chunk_counts(broadcast_id)).one()
    if not counts.waiting and not counts.in_flight:
        _complete(broadcast_id, counts.accepted)
        return 0
    if not counts.waiting or counts.room <= 0:
        return 0
    chunks = _next_chunks(broadcast_id, counts.room)
    effects = plan([_intent(broadcast, chunk) for chunk in chunks])
    keep_effects("effect_id", {chunk.id: effects[_key(broadcast_id, chunk)] for chunk in chunks})
    return len(chunks)


def keep_effects(column: str, effects: Mapping[int, int]) -> None:
    """Write ``{chunk id: effect id}`` into a column of the chunks by one statement."""
    pairs = rows_of(chunk=bigints(list(effects)), effect=bigints(list(effects.values())))
    change(update(BroadcastChunk).where(BroadcastChunk.id == pairs.c.chunk).values({column: pairs.c.effect}))


def _held(broadcast_id: int) -> Broadcast | None:
    statement = (
        select(Broadcast)
        .where(Broadcast.id == broadcast_id, Broadcast.state == BroadcastState.SUBMITTING)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    return session().scalars(statement).one_or_none()


def _next_chunks(broadcast_id: int, limit: int) -> Sequence[Row[Any]]:
    """The next waiting chunks in order, each with its sender's userid and its recipients (only these few are read)."""
    picked = (
        select(
            BroadcastChunk.id, BroadcastChunk.number, BroadcastChunk.submission, Staff.userid.label("sender")
        )
        .join(Staff, Staff.id == BroadcastChunk.sender_staff_id)
        .where(
            BroadcastChunk.broadcast_id == broadcast_id,
            BroadcastChunk.effect_id.is_(None),
            BroadcastChunk.closed_at.is_(None),
        )
        .order_by(BroadcastChunk.id)
        .limit(limit)
        .subquery()
    )
    names = func.array_agg(aggregate_order_by(BroadcastTarget.recipient, BroadcastTarget.recipient))
    recipients = (
        select(names).where(BroadcastTarget.chunk_id == picked.c.id).correlate(picked).scalar_subquery()
    )
    statement = select(picked, recipients.label("recipients")).order_by(picked.c.id)
    return session().execute(statement).all()


def _key(broadcast_id: int, chunk: Row[Any]) -> str:
    """The intent key. A call that a pause took back was certainly never made, so the next one gets a key of its own."""
    again = f":{chunk.submission}" if chunk.submission > 1 else ""
    return f"broadcast:{broadcast_id}:chunk:{chunk.id}{again}"


def _intent(broadcast: Broadcast, chunk: Row[Any]) -> Intent:
    to_customers = broadcast.kind is BroadcastKind.CUSTOMERS
    body: dict[str, Any] = {
        "chat_type": "single" if to_customers else "group",
        "external_userid" if to_customers else "chat_id_list": chunk.recipients,
        "sender": chunk.sender,
    }
    if broadcast.text:
        body["text"] = {"content": broadcast.text}
    if broadcast.attachments:
        body["attachments"] = broadcast.attachments
    return Intent(
        kind="broadcast", key=_key(broadcast.id, chunk), payload=body, subject=f"{SUBJECT}{chunk.id}"
    )


def _complete(broadcast_id: int, accepted: int) -> None:
    now = utcnow()
    if accepted:
        move([broadcast_id], BroadcastState.OPEN, submitted_at=now)
        finish_broadcasts([broadcast_id])  # every result may have come before this
        log.info("broadcast submitted", broadcast=broadcast_id, tasks=accepted)
        return
    reason = "WeCom refused every task; the results say why for each sender"
    if move([broadcast_id], BroadcastState.FAILED, submitted_at=now, finished_at=now, error=reason):
        publish(BroadcastFinished(broadcast_id))
