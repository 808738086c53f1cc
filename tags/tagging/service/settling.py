"""A group became exclusive, or the order of its rules changed: every relation with several of its tags is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, update

from scrm.customers.queries import relations_end
from scrm.kernel.db import session
from scrm.kernel.events import publish
from tags.arrays import is_one_of
from tags.events import ExclusiveGroupsChanged
from tags.models import Tag, TagAssignment, TagGroup, TagSource
from tags.service import STANDING, Move, after_wish, keep_one, move
from tags.tagging.service.contests import every_exclusive_group, hold_relations
from tags.tagging.service.rows import locked_columns

WINDOW = 20_000  # relations looked at in one transaction


def settling_wanted() -> ColumnElement[bool]:
    """Whether a group waits."""
    return exists().where(TagGroup.settled_until.is_not(None))


def settle_contests(follow_ids: Iterable[int]) -> None:
    """Where these relations hold several tags of an exclusive group, one stays; for who writes states without wishes."""
    groups = every_exclusive_group()
    ids = set(follow_ids)
    if not groups or not ids:
        return
    hold_relations(ids)
    wanted = is_one_of(TagAssignment.follow_id, ids), is_one_of(Tag.group_id, groups)
    rows = session().execute(locked_columns().where(*wanted).order_by(TagAssignment.id)).all()
    move(keep_one(rows, [], groups, None))


def want_settling(group_ids: Iterable[int]) -> None:
    """Have every relation with several tags of these groups looked at again, in the background."""
    wanted = sorted(set(group_ids))
    if not wanted:
        return
    session().execute(
        update(TagGroup)
        .where(is_one_of(TagGroup.id, wanted))
        .values(settled_until=0)
        .execution_options(synchronize_session="fetch")
    )
    publish(ExclusiveGroupsChanged())


def settle_slice(window: int = WINDOW) -> int:
    """Settle the next ``window`` relations of the oldest waiting group; returns ``window``, 0: nothing waits."""
    waiting = select(TagGroup).where(TagGroup.settled_until.is_not(None)).order_by(TagGroup.id).limit(1)
    group = session().scalars(
        waiting.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    ).one_or_none()  # fmt: skip
    if group is None:
        return 0
    begin = group.settled_until or 0
    end = relations_end(begin, window)
    if end is not None:
        settle = _settle if group.exclusive else _bring_back
        settle(group.id, begin, end)
    group.settled_until = end
    session().flush()
    return window


def _settle(group_id: int, begin: int, end: int) -> None:
    """The group is exclusive: of several tags one stays."""
    settle_contests(session().scalars(_crowded(group_id, begin, end)))


def _crowded(group_id: int, begin: int, end: int) -> Any:
    """Relations with several tags of the group."""
    a = TagAssignment
    return (
        select(a.follow_id)
        .join(Tag, Tag.id == a.tag_id)
        .where(
            Tag.group_id == group_id,
            a.follow_id > begin,
            a.follow_id <= end,
            or_(a.state.in_(STANDING), a.outranked),
        )
        .group_by(a.follow_id)
        .having(func.count() > 1)
    )


def _bring_back(group_id: int, begin: int, end: int) -> None:
    """The group is no longer exclusive: what stepped back comes back."""
    a = TagAssignment
    follows = (
        select(a.follow_id)
        .join(Tag, Tag.id == a.tag_id)
        .where(Tag.group_id == group_id, a.outranked, a.follow_id > begin, a.follow_id <= end)
    )
    hold_relations(session().scalars(follows))
    wanted = exists().where(TagSource.assignment_id == a.id, TagSource.spent_at.is_(None))
    rows = session().execute(
        locked_columns()
        .where(Tag.group_id == group_id, a.outranked, a.follow_id > begin, a.follow_id <= end, wanted)
        .order_by(a.id)
    )
    move([Move(row, after_wish(row, wanted=True), f"group:{group_id}") for row in rows])
