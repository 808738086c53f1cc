"""Pause and cancel: what people do to a broadcast that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update

from scrm.broadcasts.events import BroadcastCancelled
from scrm.broadcasts.models import REASON_CANCELLED, Broadcast, BroadcastChunk, BroadcastState, TargetState
from scrm.broadcasts.queries.bulk import change
from scrm.broadcasts.queries.visibility import broadcast_for
from scrm.broadcasts.service.finishing import finish_broadcasts
from scrm.broadcasts.service.settlement import change_targets
from scrm.broadcasts.service.states import may_become, move, moved_or_conflict
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope
from scrm.wecom.effects import call_off, cancel, retry
from scrm.wecom.models import Effect, EffectState


def pause_broadcast(broadcast_id: int, scope: Scope) -> Broadcast:
    """Hand no further chunk to WeCom and take back those that have not left; what WeCom has stays there."""
    broadcast_for(broadcast_id, scope)
    moved_or_conflict(
        broadcast_id,
        move([broadcast_id], BroadcastState.PAUSED),
        "pause",
        may_become(BroadcastState.PAUSED),
    )
    _take_back_calls(broadcast_id)
    return broadcast_for(broadcast_id, scope)


def cancel_broadcast(broadcast_id: int, scope: Scope) -> Broadcast:
    """Stop for good: waiting chunks never go out, and tasks that WeCom has are stopped there (`stop_tasks`).

    Cancelling again asks WeCom again where it refused to stop a task.
    """
    found = broadcast_for(broadcast_id, scope)
    if found.state is BroadcastState.CANCELLED:
        _stop_again(broadcast_id)
        return found
    now = utcnow()
    moved = move([broadcast_id], BroadcastState.CANCELLED, cancelled_at=now)
    moved_or_conflict(broadcast_id, moved, "cancel", may_become(BroadcastState.CANCELLED))
    _mark_cancelled(broadcast_id, now)
    _close_waiting(broadcast_id, now)
    _take_back_calls(broadcast_id)
    call_off(_calls(broadcast_id))
    finish_broadcasts([broadcast_id])
    publish(BroadcastCancelled(broadcast_id))
    return broadcast_for(broadcast_id, scope)


def _mark_cancelled(broadcast_id: int, now: datetime) -> None:
    """Every chunk that is not final, those in flight too: whichever answer comes later finds the mark."""
    chunk = BroadcastChunk
    marked = update(chunk).where(chunk.broadcast_id == broadcast_id, chunk.closed_at.is_(None))
    change(marked.values(cancelled_at=now, next_at=now))


def _close_waiting(broadcast_id: int, now: datetime) -> None:
    chunk = BroadcastChunk
    waiting = (
        update(chunk)
        .where(chunk.broadcast_id == broadcast_id, chunk.effect_id.is_(None), chunk.closed_at.is_(None))
        .values(closed_at=now)
        .returning(chunk.id)
    )
    closed = list(change(waiting).scalars())
    if closed:
        change_targets(closed, TargetState.NOT_SENT, reason=REASON_CANCELLED)


def _take_back_calls(broadcast_id: int) -> None:
    """Cancel the effects of this broadcast that have not been sent; their settlement is told in this transaction."""
    chunk = BroadcastChunk
    planned = (
        select(Effect.key)
        .join(chunk, Effect.id == chunk.effect_id)
        .where(
            chunk.broadcast_id == broadcast_id,
            chunk.msgid.is_(None),
            chunk.closed_at.is_(None),
            Effect.state == EffectState.PLANNED,
        )
    )
    cancel(list(session().scalars(planned)))


def _calls(broadcast_id: int) -> Sequence[int]:
    chunk = BroadcastChunk
    asked = select(chunk.effect_id).where(chunk.broadcast_id == broadcast_id, chunk.effect_id.is_not(None))
    return [id_ for id_ in session().scalars(asked) if id_ is not None]


def _stop_again(broadcast_id: int) -> None:
    chunk = BroadcastChunk
    refused = (
        select(Effect.id)
        .join(chunk, chunk.cancel_effect_id == Effect.id)
        .where(
            chunk.broadcast_id == broadcast_id,
            chunk.closed_at.is_(None),
            Effect.state == EffectState.FAILED,
        )
    )
    for effect_id in session().scalars(refused).all():
        retry(effect_id)
