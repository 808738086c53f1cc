"""Reminding members who have not confirmed a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased

from scrm.broadcasts.models import SENDER_CONFIRMED, BroadcastChunk, BroadcastState
from scrm.broadcasts.queries.visibility import broadcast_for
from scrm.broadcasts.service.submission import SUBJECT
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.permissions import Scope
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import Effect, EffectState

REMINDERS = 3  # per task and 24 hours (wecom-api.md section 4.9, errcode 41094)
REMINDER_WINDOW = timedelta(hours=24)


@dataclass(frozen=True)
class Reminded:
    """What a reminder did, in numbers of tasks."""

    reminded: int
    confirmed: int  # nothing to remind: the member has sent
    at_limit: int  # reminded as often as WeCom allows


def remind_senders(broadcast_id: int, scope: Scope) -> Reminded:
    """Plan a reminder to every member who has not confirmed; Conflict when none of them may be reminded now."""
    found = broadcast_for(broadcast_id, scope, lock=True)
    chunks = _tasks_at_wecom(broadcast_id)
    pending = [chunk for chunk in chunks if chunk.sender_status != SENDER_CONFIRMED]
    if found.state is BroadcastState.CANCELLED or not pending:
        raise Conflict(f"broadcast {broadcast_id} is {found.state} and no member has still to confirm it")
    due = [chunk for chunk in pending if chunk.recent < REMINDERS]
    if not due:
        raise Conflict(
            f"WeCom allows {REMINDERS} reminders per task in 24 hours and every open task has had them; wait"
        )
    plan(
        [
            Intent(
                kind="broadcast_remind",
                key=f"broadcast_remind:chunk:{chunk.id}:{chunk.ever + 1}",
                payload={"msgid": chunk.msgid},
                subject=f"{SUBJECT}{chunk.id}",
                app=chunk.app,
            )
            for chunk in due
        ]
    )
    return Reminded(len(due), len(chunks) - len(pending), len(pending) - len(due))


def _tasks_at_wecom(broadcast_id: int) -> Sequence[Row[Any]]:
    """Tasks that WeCom has and that are not final, each with its reminders ``ever`` and in the last 24 hours."""
    chunk = BroadcastChunk
    since = utcnow() - REMINDER_WINDOW
    counts = Effect.created_at > since, Effect.state.not_in([EffectState.FAILED, EffectState.CANCELLED])
    own = select(func.concat(SUBJECT, chunk.id)).where(chunk.broadcast_id == broadcast_id)
    reminders = (
        select(Effect.subject, func.count().label("ever"), func.count().filter(*counts).label("recent"))
        .where(Effect.kind == "broadcast_remind", Effect.subject.in_(own))
        .group_by(Effect.subject)
        .subquery()
    )
    made = aliased(Effect)  # the call that made the task: its app is the only one that may touch it
    statement = (
        select(
            chunk.id,
            chunk.msgid,
            chunk.sender_status,
            made.app,
            func.coalesce(reminders.c.ever, 0).label("ever"),
            func.coalesce(reminders.c.recent, 0).label("recent"),
        )
        .outerjoin(made, made.id == chunk.effect_id)
        .outerjoin(reminders, reminders.c.subject == func.concat(SUBJECT, chunk.id))
        .where(chunk.broadcast_id == broadcast_id, chunk.msgid.is_not(None), chunk.closed_at.is_(None))
        .order_by(chunk.id)
    )
    return session().execute(statement).all()
