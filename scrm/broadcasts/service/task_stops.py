"""Stopping, at WeCom, the tasks of a cancelled broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, update

from scrm.broadcasts.models import SENDER_CONFIRMED, BroadcastChunk
from scrm.broadcasts.queries.bulk import change
from scrm.broadcasts.service.pages import ClaimedChunk, Page
from scrm.broadcasts.service.results import DISPATCHING, SOON_SECONDS, still_held
from scrm.broadcasts.service.submission import SUBJECT, keep_effects
from scrm.kernel.clock import utcnow
from scrm.kernel.leases import RELEASED
from scrm.kernel.settings import settings
from scrm.wecom.effects import Intent, plan
from scrm.wecom.errors import WecomError
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState


def plan_cancellations(pages: Sequence[tuple[ClaimedChunk, Page | WecomError]], token: UUID) -> None:
    """Stop cancelled tasks at WeCom, after one look at each.

    Where the member has confirmed already there is nothing to stop, and a cancelled task could not be asked for its
    results any more (41093): it is read to the end instead. A task that is still being dispatched cannot be stopped
    yet (41063). Whatever else the look could not tell is cancelled.
    """
    mine = still_held([chunk.id for chunk, _ in pages], token)
    kept = [(chunk, page) for chunk, page in pages if chunk.id in mine]
    confirmed = [
        chunk.id for chunk, page in kept if isinstance(page, Page) and page.status == SENDER_CONFIRMED
    ]
    early = [chunk.id for chunk, page in kept if isinstance(page, WecomError) and page.errcode == DISPATCHING]
    stop = [chunk for chunk, _ in kept if chunk.id not in {*confirmed, *early}]
    effects = plan([_cancellation(chunk) for chunk in stop])
    keep_effects("cancel_effect_id", {chunk.id: effects[_cancellation(chunk).key] for chunk in stop})
    now = utcnow()
    _set([chunk.id for chunk in stop], next_at=now + timedelta(seconds=settings().broadcasts.poll_seconds))
    _set(confirmed, sender_status=SENDER_CONFIRMED, next_at=now)
    _set(early, next_at=now + timedelta(seconds=SOON_SECONDS))


def _set(chunk_ids: list[int], **values: Any) -> None:
    """Give chunks back with new values."""
    if chunk_ids:
        changed = update(BroadcastChunk).where(BroadcastChunk.id.in_(chunk_ids))
        change(changed.values(**RELEASED, **values))


def _cancellation(chunk: ClaimedChunk) -> Intent:
    return Intent(
        kind="broadcast_cancel",
        key=f"broadcast_cancel:chunk:{chunk.id}",
        payload={"msgid": chunk.msgid},
        subject=f"{SUBJECT}{chunk.id}",
        app=chunk.app,
    )


def record_cancellations(settled: Sequence[EffectSettled]) -> None:
    """WeCom answered a cancel: results are read once more; a refusal is kept and polling goes on."""
    stopped = [event.effect_id for event in settled if event.state is EffectState.CONFIRMED]
    chunk, now = BroadcastChunk, utcnow()
    changed = update(chunk).where(chunk.cancel_effect_id.in_(stopped), chunk.closed_at.is_(None))
    change(changed.values(stopped_at=now, next_at=now))
    failed = [event.effect_id for event in settled if event.state is not EffectState.CONFIRMED]
    refused = (
        update(chunk)
        .where(chunk.cancel_effect_id.in_(failed), Effect.id == chunk.cancel_effect_id)
        .values(error=func.concat("cancel refused: ", Effect.error), next_at=now)
    )
    change(refused)
