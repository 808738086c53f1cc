"""Results: what WeCom says of tasks and recipients, page by page, merged forward only.

A step asks for one page per claimed chunk and writes it with the cursor of the next, so that a killed worker loses at
most the page it was reading. A pass is: the task (has the member confirmed?), then, if so, every page of recipients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, exists, func, select, update

from scrm.broadcasts.events import BroadcastDelivered
from scrm.broadcasts.models import REASON_CANCELLED, BroadcastChunk, BroadcastTarget, TargetState
from scrm.broadcasts.queries.bulk import bigints, change, rows_of, texts, times
from scrm.broadcasts.service.finishing import finish_broadcasts
from scrm.broadcasts.service.pages import ClaimedChunk, Page
from scrm.broadcasts.service.states import lock_broadcasts
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.leases import RELEASED, held
from scrm.kernel.settings import settings
from scrm.wecom.errors import WecomError

OPEN_TARGETS = (TargetState.PLANNED, TargetState.SUBMITTED)
MOVABLE = (*OPEN_TARGETS, TargetState.NOT_SENT)  # WeCom may still report what we had given up
DISPATCHING, TASK_CANCELLED, UNKNOWN_TASK, BAD_CURSOR = 41063, 41093, 41047, 50100
NOT_CONFIRMED = "the member did not confirm in time"
SOON_SECONDS = 5.0  # after 41063 (still being dispatched), unless polls are more frequent anyway


def record_pages(pages: Sequence[tuple[ClaimedChunk, Page | WecomError]], token: UUID) -> None:
    """Write one step's answers and give the chunks back; whoever lost the lease meanwhile writes nothing."""
    mine = still_held([chunk.id for chunk, _ in pages], token)
    kept = [(chunk, page) for chunk, page in pages if chunk.id in mine]
    if kept:
        _merge_recipients([(chunk, page) for chunk, page in kept if isinstance(page, Page)])
        _write_steps([_step(chunk, page) for chunk, page in kept])
        _close_finished(kept)


def still_held(ids: list[int], token: UUID) -> set[int]:
    """Which of these chunks are still ours, held until the commit."""
    lock_broadcasts(select(BroadcastChunk.broadcast_id).where(BroadcastChunk.id.in_(ids)))
    statement = select(BroadcastChunk.id).where(BroadcastChunk.id.in_(ids), held(BroadcastChunk, token))
    return set(session().scalars(statement.order_by(BroadcastChunk.id).with_for_update(key_share=True)))


@dataclass(frozen=True)
class Step:
    """Where a chunk stands after one answer; ``status`` is None when the answer did not say."""

    chunk_id: int
    cursor: str | None
    next_at: datetime
    status: int | None = None
    sent_at: datetime | None = None
    error: str | None = None


def _step(chunk: ClaimedChunk, page: Page | WecomError) -> Step:
    """Go on at once inside a pass, wait for the next poll after it; after an error wait, and keep the place."""
    poll = settings().broadcasts.poll_seconds
    now = utcnow()
    if isinstance(page, Page):
        wait = 0.0 if page.cursor is not None else poll
        return Step(chunk.id, page.cursor, now + timedelta(seconds=wait), page.status, page.sent_at)
    if page.errcode == DISPATCHING:
        return Step(chunk.id, chunk.cursor, now + timedelta(seconds=min(poll, SOON_SECONDS)))
    cursor = None if page.errcode == BAD_CURSOR else chunk.cursor  # WeCom forgot it: begin the pass anew
    wait = poll if page.retry_after is None else page.retry_after
    return Step(chunk.id, cursor, now + timedelta(seconds=wait), error=str(page))


def _write_steps(steps: list[Step]) -> None:
    told = rows_of(
        chunk=bigints([step.chunk_id for step in steps]),
        cursor=texts([step.cursor for step in steps]),
        next_at=times([step.next_at for step in steps]),
        status=bigints([step.status for step in steps]),
        sent_at=times([step.sent_at for step in steps]),
        error=texts([step.error for step in steps]),
    )
    chunk = BroadcastChunk
    values = {
        "poll_cursor": told.c.cursor,
        "next_at": told.c.next_at,
        "sender_status": func.coalesce(told.c.status, chunk.sender_status),
        "sender_sent_at": func.coalesce(told.c.sent_at, chunk.sender_sent_at),
        "error": told.c.error,
        "polled_at": utcnow(),
    }
    change(update(chunk).where(chunk.id == told.c.chunk).values(**values, **RELEASED))


def _merge_recipients(pages: Sequence[tuple[ClaimedChunk, Page]]) -> None:
    """Move targets forward by one statement for all pages, and tell who newly received it."""
    rows = [(chunk, *recipient) for chunk, page in pages for recipient in page.recipients]
    if not rows:
        return
    told = rows_of(
        chunk=bigints([row[0].id for row in rows]),
        broadcast=bigints([row[0].broadcast_id for row in rows]),
        recipient=texts([row[1] for row in rows]),
        state=texts([row[2].value for row in rows]),
        sent_at=times([row[3] for row in rows]),
    )
    target = BroadcastTarget
    moved = (
        update(target)
        .where(
            target.broadcast_id == told.c.broadcast,
            target.recipient == told.c.recipient,
            target.chunk_id == told.c.chunk,
            target.state.in_(MOVABLE),
        )
        .values(state=cast(told.c.state, Text), sent_at=told.c.sent_at, reason=None)
        .returning(target.chunk_id, target.customer_id, target.state, target.sent_at)
    )
    received: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
    for row in change(moved):
        if row.customer_id is not None and row.state == TargetState.SENT:
            received[row.chunk_id].append((row.customer_id, row.sent_at or utcnow()))
    for chunk, _ in pages:
        if customers := received.get(chunk.id):
            publish(BroadcastDelivered(chunk.broadcast_id, chunk.staff_id, tuple(sorted(customers))))


def _close_finished(pages: Sequence[tuple[ClaimedChunk, Page | WecomError]]) -> None:
    """Close chunks that have no open recipient, whose time is over, or that WeCom has stopped or does not know."""
    ended: dict[str, list[int]] = defaultdict(list)
    complete = []
    overdue = utcnow() - timedelta(days=settings().broadcasts.poll_days)
    for chunk, page in pages:
        if reason := _given_up(chunk, page, overdue):
            ended[reason].append(chunk.id)
        elif isinstance(page, Page) and page.cursor is None:
            complete.append(chunk.id)
    for reason, ids in ended.items():
        _close(BroadcastChunk.id.in_(ids))
        remaining = update(BroadcastTarget).where(
            BroadcastTarget.chunk_id.in_(ids), BroadcastTarget.state.in_(OPEN_TARGETS)
        )
        change(remaining.values(state=TargetState.NOT_SENT, reason=reason))
    still_open = exists().where(
        BroadcastTarget.chunk_id == BroadcastChunk.id, BroadcastTarget.state.in_(OPEN_TARGETS)
    )
    _close(BroadcastChunk.id.in_(complete) & ~still_open)
    finish_broadcasts(chunk.broadcast_id for chunk, _ in pages)


def _given_up(chunk: ClaimedChunk, page: Page | WecomError, overdue: datetime) -> str | None:
    """Why nothing more will come for a chunk; None while something may."""
    if isinstance(page, WecomError):
        if page.errcode == TASK_CANCELLED:
            return REASON_CANCELLED
        if page.errcode == UNKNOWN_TASK:
            return f"WeCom no longer knows the task ({page.errcode})"
    elif page.cursor is not None:
        return None
    elif chunk.stopped:
        return REASON_CANCELLED
    return NOT_CONFIRMED if chunk.accepted_at < overdue else None


def _close(which: ColumnElement[bool]) -> None:
    closed = update(BroadcastChunk).where(which, BroadcastChunk.closed_at.is_(None))
    change(closed.values(closed_at=utcnow()))
