"""Reading tags and tag groups."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Select, func, select

from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from tags.models import AssignmentState, Tag, TagAssignment, TagGroup, TagPull


def tag_group_page(query: dict[str, Any]) -> dict[str, Any]:
    """A page of groups with their tags, newest group first."""
    page = paginate(select(TagGroup).where(TagGroup.deleted_at.is_(None)), TagGroup.id, query)
    return {**page, "items": _with_tags(page["items"])}


def tag_group_detail(group_id: int) -> dict[str, Any]:
    """One group with its tags; raises NotFound."""
    group = session().get(TagGroup, group_id, populate_existing=True)
    if group is None or group.deleted_at is not None:
        raise NotFound(f"there is no tag group {group_id}")
    return _with_tags([group])[0]


def tag_page(query: dict[str, Any]) -> dict[str, Any]:
    """A page of tags, newest first; ``group_id`` and ``q`` (part of the name) narrow it."""
    statement = _living()
    if (group_id := query.get("group_id")) is not None:
        statement = statement.where(Tag.group_id == group_id)
    if q := query.get("q"):
        statement = statement.where(Tag.name.icontains(q, autoescape=True))
    page = paginate(statement, Tag.id, query)
    return {**page, "items": [_shown(tag) for tag in page["items"]]}


def tag_detail(tag_id: int) -> dict[str, Any]:
    """One tag with the number of customers who have it; raises NotFound."""
    tag = (
        session().scalars(_living().where(Tag.id == tag_id).execution_options(populate_existing=True)).first()
    )
    if tag is None:
        raise NotFound(f"there is no tag {tag_id}")
    having = select(func.count(TagAssignment.customer_id.distinct())).where(
        TagAssignment.tag_id == tag_id,
        TagAssignment.state.in_([AssignmentState.ACTIVE, AssignmentState.PENDING_ADD]),
    )
    return {**_shown(tag), "customers": session().scalar(having)}


def tags_shown(tags: list[Tag]) -> list[dict[str, Any]]:
    """Tags as the API shows them."""
    return [_shown(tag) for tag in tags]


def tag_pull_page(query: dict[str, Any]) -> dict[str, Any]:
    """Reports of fetches of the tag list, newest first."""
    return paginate(select(TagPull), TagPull.id, query)


def _living() -> Select[Tag]:
    return select(Tag).where(Tag.deleted_at.is_(None))


def _with_tags(groups: list[TagGroup]) -> list[dict[str, Any]]:
    by_group: dict[int, list[dict[str, Any]]] = defaultdict(list)
    tags = _living().where(Tag.group_id.in_([group.id for group in groups]))
    for tag in session().scalars(
        tags.order_by(Tag.position.desc(), Tag.id).execution_options(populate_existing=True)
    ):
        by_group[tag.group_id].append(_shown(tag))
    return [
        {**_shown(group), "settling": group.settled_until is not None, "tags": by_group[group.id]}
        for group in groups
    ]


def _shown(row: Tag | TagGroup) -> dict[str, Any]:
    """A row with its ``state``: failed when WeCom refused the last change, pending while it has not answered."""
    columns = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    waits = row.pending is not None or row.wecom_id is None
    return {**columns, "state": "failed" if row.failed else "pending" if waits else "active"}
