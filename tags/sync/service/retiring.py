"""Assignments of tags that are gone at WeCom: WeCom took them off every customer, without saying so one by one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, literal_column, select, union_all

from scrm.kernel.db import session
from tags.arrays import is_one_of
from tags.models import Tag, TagAssignment
from tags.sync.service.sightings import drop_everything
from tags.tagging.service.contests import every_exclusive_group
from tags.tagging.service.rows import locked_columns, share_pushes
from tags.tagging.service.settling import settle_contests

SLICE = 2000


def orphans_left() -> bool:
    """Whether assignments of deleted tags remain."""
    return any(session().scalar(exists().where(*each).select()) for each in _orphaned())


def drop_orphans(limit: int = SLICE) -> int:
    """Remove up to ``limit`` assignments of deleted tags; returns how many.

    Where a deleted tag stood before others of an exclusive group, the next of them returns.
    """
    share_pushes()
    picked = union_all(*(select(TagAssignment.id).where(*each).limit(limit) for each in _orphaned()))
    ids = session().scalars(select(picked.subquery().c.id).limit(limit)).all()
    rows = (
        session()
        .execute(locked_columns().where(is_one_of(TagAssignment.id, ids)).order_by(TagAssignment.id))
        .all()
    )
    drop_everything(rows, by="tag deleted")
    exclusive = every_exclusive_group()
    settle_contests({row.follow_id for row in rows if row.group_id in exclusive})
    return len(rows)


def _orphaned() -> tuple[tuple[Any, ...], ...]:
    """What stands, and what only stepped back for another tag: each has an index of its own."""
    of_deleted = (
        TagAssignment.tag_id == Tag.id,
        Tag.deleted_at.is_not(None),
        TagAssignment.effect_id.is_(None),
    )
    return (
        (*of_deleted, TagAssignment.state != literal_column("'removed'")),
        (*of_deleted, TagAssignment.outranked),
    )
