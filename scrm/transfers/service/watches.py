"""What is asked of WeCom until every item is final: one watch per pair of members, page by page.

Customers: ``transfer_result`` or ``resigned/transfer_result``. Soon after WeCom took them on (it tells when each is taken
over), seldom while the 24 hours run, often once they are over. Groups: the group itself is read, and its owner tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, and_, exists, or_, select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.leases import Claim, claim
from scrm.kernel.settings import settings
from scrm.staff.models import Staff
from scrm.transfers.events import WatchesWanted
from scrm.transfers.models import PlanKind, TransferWatch

FIRST_AFTER = timedelta(seconds=60)  # after WeCom took something on
SELDOM = timedelta(hours=6)  # while the 24 hours run: events tell refusals, this finds those that got lost
AFTER_TAKEOVER = timedelta(seconds=60)  # WeCom needs a moment
LEASE_SECONDS = 120.0


def want_watches(kind: PlanKind, from_staff_id: int, to_staff_id: int, *, of_groups: bool) -> None:
    """See to it that what goes from one member to the other is asked about soon."""
    values = {
        "kind": kind, "of_groups": of_groups, "from": from_staff_id, "to": to_staff_id,
        "at": utcnow() + (timedelta(0) if of_groups else FIRST_AFTER),
    }  # fmt: skip
    session().execute(_WANT, values)


_WANT = text("""
INSERT INTO transfer_watches AS w (kind, of_groups, from_staff_id, to_staff_id, next_at) VALUES (:kind, :of_groups, :from, :to, :at)
ON CONFLICT (kind, of_groups, from_staff_id, to_staff_id) DO UPDATE SET passes = 0, next_at = LEAST(w.next_at, excluded.next_at)
""")


def look_now(pairs: Sequence[tuple[int, int]]) -> None:
    """Something happened to these customers of these receivers, (customer id, staff id): ask about them at once."""
    rows = [{"customer_id": customer, "to": receiver} for customer, receiver in pairs]
    if rows and session().execute(_LOOK_NOW, {"rows": orjson.dumps(rows).decode(), "now": utcnow()}).all():
        publish(WatchesWanted())


_LOOK_NOW = text("""
UPDATE transfer_watches w SET next_at = LEAST(w.next_at, :now)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, "to" bigint), transfer_items i
WHERE i.customer_id = r.customer_id AND i.to_staff_id = r.to AND i.state IN ('asked', 'waiting')
AND w.from_staff_id = i.from_staff_id AND w.to_staff_id = i.to_staff_id AND NOT w.of_groups AND w.cursor IS NULL
RETURNING w.id
""")


@dataclass(frozen=True)
class Watched:
    """A watch in a worker's hands."""

    id: int
    kind: PlanKind
    from_staff_id: int
    to_staff_id: int
    handover: str
    takeover: str
    cursor: str | None
    pass_at: datetime


def claim_watches(*, of_groups: bool, limit: int) -> tuple[Claim, list[Watched]]:
    """Take watches that are due; a pass that was begun goes on where it stood."""
    held = claim(
        TransferWatch,
        ready=due(of_groups=of_groups),
        order_by=TransferWatch.next_at,
        limit=limit,
        seconds=LEASE_SECONDS,
        values={},
    )
    ids = {id_ for row in held.rows for id_ in (row.from_staff_id, row.to_staff_id)}
    names = {
        row.id: row.userid
        for row in session().execute(select(Staff.id, Staff.userid).where(Staff.id.in_(ids)))
    }
    now = utcnow()
    return held, [
        Watched(
            row.id, row.kind, row.from_staff_id, row.to_staff_id, names[row.from_staff_id], names[row.to_staff_id],
            row.cursor, row.pass_at if row.cursor and row.pass_at else now,
        )
        for row in held.rows
    ]  # fmt: skip


def due(*, of_groups: bool) -> ColumnElement[bool]:
    """The clause over watches that have to be asked about now."""
    return and_(TransferWatch.next_at <= utcnow(), TransferWatch.of_groups.is_(of_groups))


def watch_is_due(*, of_groups: bool) -> bool:
    """Whether there is something to ask."""
    free = or_(TransferWatch.lease_until.is_(None), TransferWatch.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(due(of_groups=of_groups), free))))


def next_look(row: Row[Any], now: datetime) -> datetime | None:
    """When to ask again after a complete pass; None when nobody is waiting any more.

    :param row: ``waiting`` items, ``soonest`` takeover still to come, ``overdue`` ones, complete ``passes`` since
    """
    if not row.waiting:
        return None
    poll = timedelta(seconds=settings().transfers.poll_seconds)
    if row.overdue:
        return now + min(SELDOM, poll * (1 << min(int(row.passes), 10)))
    if row.soonest is None:
        return now + min(SELDOM, poll)
    soonest: datetime = row.soonest
    return min(now + SELDOM, max(now + poll, soonest + AFTER_TAKEOVER))
