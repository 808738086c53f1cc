"""What one answer of WeCom says about one chunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scrm.broadcasts.models import (
    SENDER_CONFIRMED,
    Broadcast,
    BroadcastChunk,
    BroadcastKind,
    TargetState,
)
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session
from scrm.staff.models import Staff
from scrm.wecom.models import Effect

STATUS = {1: TargetState.SENT, 2: TargetState.NOT_FRIEND, 3: TargetState.CAPPED}  # 0: not sent yet


@dataclass(frozen=True)
class ClaimedChunk:
    """What a step has to know about a chunk it holds."""

    id: int
    broadcast_id: int
    staff_id: int
    userid: str
    app: str | None  # the app that made the task; WeCom shows it to no other
    msgid: str
    to_groups: bool
    cursor: str | None  # None: ask for the task; otherwise: ask for recipients from here
    accepted_at: datetime
    stopped: bool  # WeCom confirmed our cancel


@dataclass
class Page:
    """One answer of WeCom about one chunk.

    :param status: 0 the member has not confirmed, 2 sent; None when the page does not say
    :param recipients: ``(external_userid or chat_id, state, sent_at)`` of those whose fate is known
    :param cursor: where the next page begins; None: the pass is complete
    """

    status: int | None = None
    sent_at: datetime | None = None
    recipients: list[tuple[str, TargetState, datetime | None]] = field(default_factory=list)
    cursor: str | None = None


def claimed_chunks(ids: Iterable[int]) -> list[ClaimedChunk]:
    """Details of chunks for a step."""
    chunk = BroadcastChunk
    statement = (
        select(chunk, Staff.userid, Broadcast.kind, Effect.app)
        .join(Staff, Staff.id == chunk.sender_staff_id)
        .outerjoin(Effect, Effect.id == chunk.effect_id)  # settled effects are forgotten after a while
        .join(Broadcast, Broadcast.id == chunk.broadcast_id)
        .where(chunk.id.in_(list(ids)))
        .order_by(chunk.id)
    )
    return [_claimed(row) for row in session().execute(statement)]


def _claimed(row: Any) -> ClaimedChunk:
    chunk: BroadcastChunk = row[0]
    return ClaimedChunk(
        id=chunk.id,
        broadcast_id=chunk.broadcast_id,
        staff_id=chunk.sender_staff_id,
        userid=row.userid,
        app=row.app,
        msgid=chunk.msgid or "",
        to_groups=row.kind is BroadcastKind.GROUPS,
        cursor=chunk.poll_cursor,
        accepted_at=chunk.accepted_at or utcnow(),
        stopped=chunk.stopped_at is not None,
    )


def task_page(answer: dict[str, Any], userid: str) -> Page | None:
    """``get_groupmsg_task``: whether our member has confirmed; None when this page does not name them."""
    for task in answer.get("task_list") or []:
        if str(task.get("userid")).casefold() == userid.casefold():
            status = task.get("status")
            cursor = "" if status == SENDER_CONFIRMED else None
            return Page(status=status, sent_at=_moment(task.get("send_time")), cursor=cursor)
    return None


def result_page(answer: dict[str, Any]) -> Page:
    """``get_groupmsg_send_result``: what became of recipients; those not sent yet are left out."""
    page = Page(cursor=answer.get("next_cursor") or None)
    for item in answer.get("send_list") or []:
        recipient = item.get("external_userid") or item.get("chat_id")
        state = STATUS.get(item.get("status"))
        if recipient and state is not None:
            page.recipients.append((recipient, state, _moment(item.get("send_time"))))
    return page


def _moment(seconds: int | None) -> datetime | None:
    return from_epoch(seconds) if seconds else None
