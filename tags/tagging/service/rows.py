"""Assignments read to be changed: made where they are missing, locked, with what their tag's group says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Text, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased

from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.locks import hold_in_transaction, share_in_transaction
from tags.arrays import is_one_of, row_table
from tags.models import AssignmentState, Preference, Tag, TagAssignment, TagGroup

SWITCHING = "tags.push"


def share_pushes() -> None:
    """Until the transaction ends, no tag group begins or ends to be told to WeCom; before rows are read."""
    share_in_transaction(SWITCHING)


def hold_pushes() -> None:
    """Wait for whoever decides by where a group lives; before a group is switched, until the transaction ends."""
    hold_in_transaction(SWITCHING)


def ensure_rows(keys: set[tuple[int, int]], changed_at: datetime | None = None) -> None:
    """Make the missing assignments, as removed ones; sorted, so that two batches never wait for each other in a ring.

    :param keys: (follow id, tag id); unknown relations and deleted tags are passed over
    """
    if not keys:
        return
    wanted = row_table("wanted", {"follow_id": BigInteger, "tag_id": BigInteger}, sorted(keys))
    fresh = (
        select(
            Follow.customer_id,
            Follow.id,
            Tag.id,
            literal(AssignmentState.REMOVED.value, Text),
            literal(changed_at or utcnow()),
        )
        .join(wanted, wanted.c.follow_id == Follow.id)
        .join(Tag, Tag.id == wanted.c.tag_id)
        .where(
            Tag.deleted_at.is_(None),
            ~exists().where(TagAssignment.follow_id == Follow.id, TagAssignment.tag_id == Tag.id),
        )
        .order_by(Follow.id, Tag.id)
    )
    columns = ["customer_id", "follow_id", "tag_id", "state", "changed_at"]
    session().execute(upsert(TagAssignment).from_select(columns, fresh).on_conflict_do_nothing())


def locked_rows(keys: set[tuple[int, int]], groups: Mapping[int, Preference]) -> dict[tuple[int, int], Any]:
    """The assignments of ``keys`` as they are now, and their rivals in exclusive groups; locked in the order of their
    ids until the transaction ends.
    """
    share_pushes()
    wanted = row_table("wanted", {"follow_id": BigInteger, "tag_id": BigInteger}, sorted(keys))
    same: Any = wanted.c.tag_id == TagAssignment.tag_id
    if groups:
        own = aliased(Tag)
        rival = exists().where(
            own.id == wanted.c.tag_id, own.group_id == Tag.group_id, is_one_of(own.group_id, groups)
        )
        same = or_(same, rival)
    statement = (
        locked_columns()
        .join(wanted, wanted.c.follow_id == TagAssignment.follow_id)
        .where(same)
        .order_by(TagAssignment.id)
    )
    return {(row.follow_id, row.tag_id): row for row in session().execute(statement)}


def locked_columns() -> Any:
    """A select of what moves need to know of assignments, with their row locks; the caller orders by id."""
    a = TagAssignment
    columns = (
        a.id, a.customer_id, a.follow_id, a.tag_id, a.state, a.version, a.effect_id, a.effect_adds, a.changed_at,
        a.outranked, Tag.group_id, Tag.deleted_at, Tag.wecom_id, TagGroup.push,
    )  # fmt: skip
    joined = select(*columns).join(Tag, Tag.id == a.tag_id).join(TagGroup, TagGroup.id == Tag.group_id)
    return joined.with_for_update(of=a)
