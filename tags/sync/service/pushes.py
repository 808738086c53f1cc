"""Telling WeCom: one ``mark_tag`` for each relation with everything that waits there.

A row is pending until WeCom accepted, and at most one call is on its way for it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, exists, literal_column, select, update
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer, Follow
from scrm.kernel.db import session
from scrm.staff.models import Staff
from scrm.wecom.effects import Intent, plan
from tags.arrays import is_one_of, row_table
from tags.models import AssignmentState, Tag, TagAssignment

S = AssignmentState
FOLLOWS_PER_BATCH = 200
# Literals, so that partial indexes are usable in a prepared plan too.
PENDING: list[ColumnElement[str]] = [literal_column("'pending_add'"), literal_column("'pending_remove'")]
REACHABLE: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'deleted_by_customer'")]


def sendable() -> list[Any]:
    """Clauses of an assignment that can be told to WeCom now: the tag and the relation exist there, no call is out.

    A half relation waits: WeCom answers 84061 until the member adds back.
    """
    return [
        TagAssignment.state.in_(PENDING),
        TagAssignment.effect_id.is_(None),
        Tag.wecom_id.is_not(None),
        Tag.deleted_at.is_(None),
        Follow.status.in_(REACHABLE),
    ]


def plan_pushes(limit: int = FOLLOWS_PER_BATCH) -> int:
    """Plan one ``mark_tag`` for each of up to ``limit`` relations with everything that waits there.

    :returns: the number of relations; 0 when nothing waits
    """
    by_follow: dict[int, list[Any]] = defaultdict(list)
    for row in session().execute(_waiting(limit)):
        by_follow[row.follow_id].append(row)
    calls = {_key(rows): rows for rows in by_follow.values()}
    effects = plan([_intent(key, rows) for key, rows in calls.items()]) if calls else {}
    _carry(
        [(row.id, effects[key], row.state == S.PENDING_ADD) for key, rows in calls.items() for row in rows]
    )
    return len(calls)


def _waiting(limit: int) -> Any:
    busy = aliased(TagAssignment)
    follows = (
        select(TagAssignment.follow_id)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .join(Follow, Follow.id == TagAssignment.follow_id)
        .where(
            *sendable(),
            ~exists().where(busy.follow_id == TagAssignment.follow_id, busy.effect_id.is_not(None)),
        )
        .distinct()
        .order_by(TagAssignment.follow_id)
        .limit(limit)
    )
    return (
        _addressed()
        .where(TagAssignment.follow_id.in_(follows), *sendable())
        .order_by(TagAssignment.id)
        .with_for_update(of=TagAssignment, skip_locked=True)
    )


def _addressed() -> Any:
    a = TagAssignment
    return (
        select(
            a.id,
            a.follow_id,
            a.tag_id,
            a.state,
            a.version,
            Tag.wecom_id,
            Staff.userid,
            Customer.external_userid,
        )
        .join(Tag, Tag.id == a.tag_id)
        .join(Follow, Follow.id == a.follow_id)
        .join(Staff, Staff.id == Follow.staff_id)
        .join(Customer, Customer.id == Follow.customer_id)
    )


def _key(rows: Sequence[Any]) -> str:
    """The intent key: the same pending changes at the same versions are the same call."""
    versions = ",".join(f"{row.id}v{row.version}" for row in rows)
    digest = hashlib.blake2s(versions.encode(), digest_size=12).hexdigest()
    return f"mark_tag:follow:{rows[0].follow_id}:{digest}"


def _intent(key: str, rows: Sequence[Any]) -> Intent:
    payload: dict[str, Any] = {"userid": rows[0].userid, "external_userid": rows[0].external_userid}
    for name, state in (("add_tag", S.PENDING_ADD), ("remove_tag", S.PENDING_REMOVE)):
        if ids := [row.wecom_id for row in rows if row.state == state]:
            payload[name] = ids
    return Intent(kind="mark_tag", key=key, payload=payload, subject=f"follow:{rows[0].follow_id}")


def _carry(carried: Sequence[tuple[int, int, bool]]) -> None:
    """Note which call carries which assignment (assignment id, effect id, whether it adds)."""
    if not carried:
        return
    new = row_table("new", {"id": BigInteger, "effect_id": BigInteger, "adds": Boolean}, carried)
    session().execute(
        update(TagAssignment)
        .where(TagAssignment.id == new.c.id)
        .values(effect_id=new.c.effect_id, effect_adds=new.c.adds)
        .execution_options(synchronize_session=False)
    )


def plan_alone(assignment_ids: set[int]) -> None:
    """Plan a call of its own for each assignment."""
    if not assignment_ids:
        return
    rows = (
        session()
        .execute(_addressed().where(is_one_of(TagAssignment.id, assignment_ids)).order_by(TagAssignment.id))
        .all()
    )
    calls = {f"{_key([row])}:alone": row for row in rows}
    effects = plan([_intent(key, [row]) for key, row in calls.items()])
    _carry([(row.id, effects[key], row.state == S.PENDING_ADD) for key, row in calls.items()])
