"""Reading broadcasts: lists, the dry run, results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, case, func, select
from sqlalchemy.orm import defer

from scrm.broadcasts.models import (
    SENDER_CONFIRMED,
    Broadcast,
    BroadcastChunk,
    BroadcastTarget,
    TargetState,
)
from scrm.broadcasts.queries.audience import SkipReason, frozen_recipients, sender_counts
from scrm.broadcasts.queries.months import month_start, monthly_cap
from scrm.broadcasts.queries.visibility import broadcast_for, visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff


def broadcast_page(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of broadcasts without their audiences, newest first; filters ``state`` and ``kind``."""
    statement = select(Broadcast).options(defer(Broadcast.audience)).where(visible(scope))
    for name in ("state", "kind"):
        if name in query:
            statement = statement.where(getattr(Broadcast, name) == query[name])
    return paginate(statement, Broadcast.id, query)


def broadcast_plan(broadcast_id: int, scope: Scope) -> dict[str, Any]:
    """The dry run: who would receive it from whom, in how many WeCom tasks, and who not and why; changes nothing.

    Once the audience is frozen the same figures come from the frozen rows.
    """
    broadcast = broadcast_for(broadcast_id, scope)
    now = utcnow()
    cap = monthly_cap(now)
    if broadcast.frozen_at is None:
        rows = session().execute(sender_counts(frozen_recipients(broadcast, month_start(now), cap))).all()
    else:
        rows = _frozen_counts(broadcast_id)
    senders = [row for row in rows if row.sender_staff_id is not None]
    skipped = {row.reason: row.recipients for row in rows if row.sender_staff_id is None}
    return {
        "broadcast_id": broadcast_id,
        "frozen": broadcast.frozen_at is not None,
        "recipients": sum(row.recipients for row in senders),
        "tasks": sum(row.tasks for row in senders),
        "senders": _named(senders),
        "skipped": {"total": sum(skipped.values()), "reasons": skipped},
        "monthly_cap": {
            "per_recipient": cap,
            "reached": skipped.get(SkipReason.MONTHLY_CAP, 0),
            "note": f"WeCom lets a recipient have {cap} mass messages this month; those sent by members on their own "
            "count too and are not known here, so that some may still come back as capped",
        },
    }


def _frozen_counts(broadcast_id: int) -> list[Row[Any]]:
    target, chunk = BroadcastTarget, BroadcastChunk
    reason = case((target.state == TargetState.SKIPPED, target.reason)).label("reason")
    statement = (
        select(
            target.sender_staff_id,
            reason,
            func.count().label("recipients"),
            func.max(chunk.number).label("tasks"),
        )
        .outerjoin(chunk, chunk.id == target.chunk_id)
        .where(target.broadcast_id == broadcast_id)
        .group_by(target.sender_staff_id, reason)
    )
    return list(session().execute(statement).all())


def _named(rows: list[Row[Any]]) -> list[dict[str, Any]]:
    """Sender rows with userid and name, most recipients first."""
    ids = [row.sender_staff_id for row in rows]
    members = {member.id: member for member in session().scalars(select(Staff).where(Staff.id.in_(ids)))}
    named = [
        {
            "staff_id": row.sender_staff_id,
            "userid": members[row.sender_staff_id].userid,
            "name": members[row.sender_staff_id].name,
            "recipients": row.recipients,
            "tasks": row.tasks,
        }
        for row in rows
    ]
    return sorted(named, key=lambda sender: (-sender["recipients"], sender["staff_id"]))


def broadcast_results(broadcast_id: int, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """Totals by state, every sender with confirmed or not, and one page of recipients.

    :param query: paging, and ``state`` and ``staff_id`` to narrow the recipients
    """
    broadcast = broadcast_for(broadcast_id, scope)
    senders, totals = _senders(broadcast_id)
    return {
        "broadcast_id": broadcast_id,
        "state": broadcast.state,
        "totals": totals,
        "senders": senders,
        **_recipients(broadcast_id, query),
    }


def _recipients(broadcast_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    target = BroadcastTarget
    statement = select(target).where(target.broadcast_id == broadcast_id)
    if "state" in query:
        statement = statement.where(target.state == query["state"])
    if "staff_id" in query:
        statement = statement.where(target.sender_staff_id == query["staff_id"])
    return paginate(statement, target.recipient, query, descending=False)


def _senders(broadcast_id: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(senders with their tasks and counts by state, totals by state)."""
    target = BroadcastTarget
    counted = (
        select(target.chunk_id, target.state, func.count().label("recipients"))
        .where(target.broadcast_id == broadcast_id)
        .group_by(target.chunk_id, target.state)
    )
    totals = dict.fromkeys(map(str, TargetState), 0)
    by_chunk: dict[int, dict[str, int]] = {}
    for row in session().execute(counted):
        totals[row.state] += row.recipients
        if row.chunk_id is not None:
            by_chunk.setdefault(row.chunk_id, {})[row.state] = row.recipients
    chunks = (
        select(BroadcastChunk, Staff.userid, Staff.name)
        .join(Staff, Staff.id == BroadcastChunk.sender_staff_id)
        .where(BroadcastChunk.broadcast_id == broadcast_id)
        .order_by(BroadcastChunk.sender_staff_id, BroadcastChunk.number)
    )
    senders: dict[int, dict[str, Any]] = {}
    for chunk, userid, name in session().execute(chunks):
        sender = senders.setdefault(chunk.sender_staff_id, _sender(chunk.sender_staff_id, userid, name))
        _add_task(sender, chunk, by_chunk.get(chunk.id, {}))
    return list(senders.values()), totals


def _sender(staff_id: int, userid: str, name: str | None) -> dict[str, Any]:
    return {
        "staff_id": staff_id,
        "userid": userid,
        "name": name,
        "confirmed": True,
        "recipients": 0,
        "totals": {},
        "tasks": [],
    }


def _add_task(sender: dict[str, Any], chunk: BroadcastChunk, states: dict[str, int]) -> None:
    confirmed = chunk.sender_status == SENDER_CONFIRMED
    sender["confirmed"] = sender["confirmed"] and confirmed
    sender["recipients"] += chunk.recipients
    for state, count in states.items():
        sender["totals"][state] = sender["totals"].get(state, 0) + count
    sender["tasks"].append(
        {
            "number": chunk.number,
            "recipients": chunk.recipients,
            "effect_id": chunk.effect_id,
            "msgid": chunk.msgid,
            "confirmed": confirmed,
            "confirmed_at": chunk.sender_sent_at,
            "polled_at": chunk.polled_at,
            "final": chunk.closed_at is not None,
            "error": chunk.error,
        }
    )
