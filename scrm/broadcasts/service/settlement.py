"""What WeCom answered for chunks: the msgid and the refused recipients, or why it refused the whole task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row, func, select, update

from scrm.broadcasts.events import ChunksSettled
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastState, BroadcastTarget, TargetState
from scrm.broadcasts.queries.bulk import bigints, change, rows_of, texts
from scrm.broadcasts.queries.due import AT_ONCE_FIRST
from scrm.broadcasts.service.finishing import finish_broadcasts
from scrm.broadcasts.service.states import lock_broadcasts, move
from scrm.broadcasts.service.submission import SUBJECT, UNREACHABLE
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState

log = structlog.get_logger(__name__)

IN_FAIL_LIST = "in WeCom's fail_list: unknown or unreachable"
TAKEN_BACK = "cancelled before WeCom was asked"


def record_submissions(settled: Sequence[EffectSettled]) -> None:
    """Write the outcome of ``broadcast`` effects into their chunks and targets, all of them by a few statements."""
    rows = _settled_chunks(settled)
    confirmed = [row for row in rows if row.state is EffectState.CONFIRMED]
    taken_back = [row for row in rows if _was_taken_back(row)]
    _accept(confirmed)
    _take_back(taken_back)
    _refuse([row for row in rows if row.state is not EffectState.CONFIRMED and not _was_taken_back(row)])
    by_broadcast: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_broadcast[row.broadcast_id].append(row.chunk_id)
    for broadcast_id, chunk_ids in by_broadcast.items():
        publish(ChunksSettled(broadcast_id, tuple(chunk_ids)))
    finish_broadcasts(by_broadcast)


def _was_taken_back(row: Row[Any]) -> bool:
    """Cancelled before WeCom was asked; a call that a worker held meanwhile ends by its deadline."""
    unwanted = row.broadcast_state is BroadcastState.CANCELLED
    return row.state is EffectState.CANCELLED or (unwanted and row.state is EffectState.EXPIRED)


def _settled_chunks(settled: Sequence[EffectSettled]) -> Sequence[Row[Any]]:
    """Chunks without a task whose effects these are, with the effects' outcome and the broadcast's state.

    A refused chunk is closed, but its effect may be retried by hand (``scrm.wecom.effects.retry``) and then succeed.
    """
    chunks = [int(event.subject.removeprefix(SUBJECT)) for event in settled if event.subject]
    lock_broadcasts(select(BroadcastChunk.broadcast_id).where(BroadcastChunk.id.in_(chunks)))
    statement = (
        select(
            BroadcastChunk.id.label("chunk_id"),
            BroadcastChunk.broadcast_id,
            Broadcast.state.label("broadcast_state"),
            Effect.state,
            Effect.result,
            Effect.errcode,
            Effect.error,
        )
        .join(Effect, Effect.id == BroadcastChunk.effect_id)
        .join(Broadcast, Broadcast.id == BroadcastChunk.broadcast_id)
        .where(
            BroadcastChunk.id.in_(chunks),
            Effect.id.in_([event.effect_id for event in settled]),
            BroadcastChunk.msgid.is_(None),
        )
        .order_by(BroadcastChunk.id)
    )
    return session().execute(statement).all()


def _accept(rows: Sequence[Row[Any]]) -> None:
    if not rows:
        return
    now, ids = utcnow(), [row.chunk_id for row in rows]
    answer = rows_of(chunk=bigints(ids), msgid=texts([row.result["msgid"] for row in rows]))
    accepted = (
        update(BroadcastChunk)
        .where(BroadcastChunk.id == answer.c.chunk)
        .values(msgid=answer.c.msgid, accepted_at=now, next_at=now, closed_at=None, error=None)
    )
    change(accepted)
    failed = [(row.chunk_id, name) for row in rows for name in row.result.get("fail_list") or []]
    _mark_unwanted([row.chunk_id for row in rows if row.broadcast_state is BroadcastState.CANCELLED])
    change_targets(ids, TargetState.SUBMITTED)
    _refuse_named(failed)


def _mark_unwanted(chunk_ids: list[int]) -> None:
    """Tasks that came to be although the broadcast is cancelled (a refused call retried by hand) are to be stopped."""
    if chunk_ids:
        unmarked = BroadcastChunk.id.in_(chunk_ids) & BroadcastChunk.cancelled_at.is_(None)
        change(update(BroadcastChunk).where(unmarked).values(cancelled_at=utcnow()))


def _refuse_named(failed: list[tuple[int, str]]) -> None:
    """WeCom's fail_list: these recipients of an accepted chunk get nothing."""
    if not failed:
        return
    pair = rows_of(
        chunk=bigints([chunk for chunk, _ in failed]), recipient=texts([name for _, name in failed])
    )
    refused = (
        update(BroadcastTarget)
        .where(
            BroadcastTarget.chunk_id == pair.c.chunk,
            BroadcastTarget.recipient == pair.c.recipient,
            BroadcastTarget.state == TargetState.SUBMITTED,
        )
        .values(state=TargetState.REFUSED, reason=IN_FAIL_LIST)
    )
    change(refused)


def _refuse(rows: Sequence[Row[Any]]) -> None:
    """Tasks WeCom did not make: every recipient of theirs is refused with the reason; other chunks go on."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_reason[_reason(row)].append(row.chunk_id)
    for reason, ids in by_reason.items():
        _close(ids, error=reason)
        change_targets(ids, TargetState.REFUSED, reason=reason)
        log.warning("mass-send tasks refused", chunks=ids, reason=reason)
    _pause_if_hopeless({row.broadcast_id for row in rows if row.errcode != UNREACHABLE})


def _reason(row: Row[Any]) -> str:
    error = row.error or row.state.value
    return error if row.errcode is None or str(row.errcode) in error else f"{row.errcode}: {error}"


def _pause_if_hopeless(broadcast_ids: set[int]) -> None:
    """Pause broadcasts whose first tasks were all refused: text, media or permissions are wrong, not the recipients."""
    if not broadcast_ids:
        return
    chunk = BroadcastChunk
    waiting = chunk.effect_id.is_(None) & chunk.closed_at.is_(None)
    unhappy = (
        select(chunk.broadcast_id, func.max(chunk.error).label("error"))
        .where(chunk.broadcast_id.in_(broadcast_ids))
        .group_by(chunk.broadcast_id)
        .having(
            func.count(chunk.msgid) == 0,
            func.count(chunk.error) >= AT_ONCE_FIRST,
            func.count().filter(waiting) > 0,
        )
    )
    for row in session().execute(unhappy):
        reason = (
            f"paused because the first {AT_ONCE_FIRST} tasks were refused ({row.error}); "
            "mend a missing permission and resume, or cancel and make a new broadcast"
        )
        if move([row.broadcast_id], BroadcastState.PAUSED, only=[BroadcastState.SUBMITTING], error=reason):
            log.warning("broadcast paused by itself", broadcast=row.broadcast_id)


def _take_back(rows: Sequence[Row[Any]]) -> None:
    """Calls that were cancelled before they were made: by a pause (again later), by a cancel, or by hand."""
    paused = [row.chunk_id for row in rows if row.broadcast_state is BroadcastState.PAUSED]
    release = (
        update(BroadcastChunk)
        .where(BroadcastChunk.id.in_(paused))
        .values(effect_id=None, submission=BroadcastChunk.submission + 1)
    )
    if paused:
        change(release)
    ended = [row.chunk_id for row in rows if row.broadcast_state is not BroadcastState.PAUSED]
    if ended:
        _close(ended, error=TAKEN_BACK)
        change_targets(ended, TargetState.NOT_SENT, reason=TAKEN_BACK)


def _close(chunk_ids: list[int], **values: Any) -> None:
    closed = update(BroadcastChunk).where(BroadcastChunk.id.in_(chunk_ids))
    change(closed.values(closed_at=utcnow(), **values))


def change_targets(chunk_ids: list[int], state: TargetState, reason: str | None = None) -> None:
    """Move on the recipients of chunks whom WeCom had not taken yet."""
    untaken = BroadcastTarget.state.in_([TargetState.PLANNED, TargetState.REFUSED])
    changed = (
        update(BroadcastTarget)
        .where(BroadcastTarget.chunk_id.in_(chunk_ids), untaken)
        .values(state=state, reason=reason)
    )
    change(changed)
