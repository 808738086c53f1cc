"""Reading tags and tag groups."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from tags.models import AssignmentState, Push, Tag, TagAssignment, TagGroup, TagPull


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
    return {**page, "items": tags_shown(page["items"])}


def tag_detail(scope: Scope, tag_id: int) -> dict[str, Any]:
    """One tag with the number of visible customers who have it; raises NotFound."""
    tag = (
        session().scalars(_living().where(Tag.id == tag_id).execution_options(populate_existing=True)).first()
    )
    if tag is None:
        raise NotFound(f"there is no tag {tag_id}")
    having = select(func.count(TagAssignment.customer_id.distinct())).where(
        TagAssignment.tag_id == tag_id,
        TagAssignment.state.in_([AssignmentState.ACTIVE, AssignmentState.PENDING_ADD]),
    )
    if not scope.everyone:
        having = having.join(Customer, Customer.id == TagAssignment.customer_id).where(visible(scope))
    return {**tags_shown([tag])[0], "customers": session().scalar(having)}


def tags_shown(tags: list[Tag]) -> list[dict[str, Any]]:
    """Tags as the API shows them."""
    found = select(TagGroup.id, TagGroup.push).where(TagGroup.id.in_({tag.group_id for tag in tags}))
    push = {row.id: row.push for row in session().execute(found)}
    return [_shown(tag, push[tag.group_id]) for tag in tags]


def tag_pull_page(query: dict[str, Any]) -> dict[str, Any]:
    """Reports of fetches of the tag list, newest first."""
    return paginate(select(TagPull), TagPull.id, query)


def _living() -> Select[Tag]:
    return select(Tag).where(Tag.deleted_at.is_(None))


def _with_tags(groups: list[TagGroup]) -> list[dict[str, Any]]:
    push = {group.id: group.push for group in groups}
    by_group: dict[int, list[dict[str, Any]]] = defaultdict(list)
    tags = _living().where(Tag.group_id.in_([group.id for group in groups]))
    for tag in session().scalars(
        tags.order_by(Tag.position.desc(), Tag.id).execution_options(populate_existing=True)
    ):
        by_group[tag.group_id].append(_shown(tag, push[tag.group_id]))
    namesakes = _namesakes(groups)
    return [
        {
            **_shown(group, group.push),
            "settling": group.settled_until is not None,
            "namesake_id": namesakes.get(group.id),
            "tags": by_group[group.id],
        }
        for group in groups
    ]


def _namesakes(groups: list[TagGroup]) -> dict[int, int]:
    """Groups whose name another one has: WeCom made one of the same name as one that is kept here alone."""
    own, other = aliased(TagGroup), aliased(TagGroup)
    same = select(own.id, other.id.label("other")).where(
        own.id.in_([group.id for group in groups]),
        other.name == own.name,
        other.push != own.push,
        other.deleted_at.is_(None),
    )
    return {row.id: row.other for row in session().execute(same)}


def _shown(row: Tag | TagGroup, push: Push) -> dict[str, Any]:
    """A row with its ``state``: failed when WeCom refused the last change, pending while it has not answered."""
    columns = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    waits = row.pending is not None or (row.wecom_id is None and push == Push.WECOM)
    state = "failed" if row.failed else "pending" if waits else "active"
    return {**columns, "push": push, "state": state}
