"""Assignments of tags that are gone at WeCom: WeCom took them off every customer, without saying so one by one."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, select

from scrm.kernel.db import session
from tags.models import AssignmentState, Tag, TagAssignment
from tags.service import locked_columns
from tags.sync.service.sightings import drop_everything

SLICE = 2000


def orphans_left() -> bool:
    """Whether assignments of deleted tags remain."""
    return bool(session().scalar(exists().where(*_orphaned()).select()))


def drop_orphans(limit: int = SLICE) -> int:
    """Remove up to ``limit`` assignments of deleted tags; returns how many."""
    picked = (
        select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id).where(*_orphaned()).limit(limit)
    )
    rows = (
        session()
        .execute(
            locked_columns().where(TagAssignment.id.in_(picked.scalar_subquery())).order_by(TagAssignment.id)
        )
        .all()
    )
    drop_everything(rows, by="tag deleted")
    return len(rows)


def _orphaned() -> tuple[ColumnElement[bool], ...]:
    return (
        TagAssignment.tag_id == Tag.id,
        Tag.deleted_at.is_not(None),
        TagAssignment.state != AssignmentState.REMOVED,
        TagAssignment.effect_id.is_(None),
    )
