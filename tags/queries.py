"""Reading which customer has which tag, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, literal_column, or_, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from scrm.customers.models import Follow, FollowStatus
from scrm.customers.queries import customer_by_id
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.portraits.queries import portrait_section
from tags.arrays import is_one_of
from tags.models import AssignmentState, Tag, TagAssignment, TagGroup, TagHistory, TagSource

HISTORY_LINES = 200
LIVE = (FollowStatus.ACTIVE, FollowStatus.HALF)


def own_follow(scope: Scope) -> ColumnElement[bool]:
    """The relation lies inside a data scope."""
    return true() if scope.everyone else is_one_of(Follow.staff_id, scope.staff_ids)


def live_follow_ids(scope: Scope, customer_id: int, staff_id: int | None) -> list[int]:
    """The present relations of a customer inside the scope, of one member or of all."""
    statement = select(Follow.id).where(
        Follow.customer_id == customer_id, Follow.status.in_(LIVE), own_follow(scope)
    )
    if staff_id is not None:
        statement = statement.where(Follow.staff_id == staff_id)
    return list(session().scalars(statement.order_by(Follow.id)))


def tagged_follow_ids(scope: Scope, customer_id: int, staff_id: int | None) -> list[int]:
    """All relations of a customer inside the scope, past ones too: tags can be taken off these as well."""
    statement = select(Follow.id).where(Follow.customer_id == customer_id, own_follow(scope))
    if staff_id is not None:
        statement = statement.where(Follow.staff_id == staff_id)
    return list(session().scalars(statement.order_by(Follow.id)))


def staff_of_follows(follow_ids: Iterable[int]) -> dict[int, int]:
    """Who follows, by relation."""
    rows = session().execute(select(Follow.id, Follow.staff_id).where(is_one_of(Follow.id, follow_ids)))
    return {row.id: row.staff_id for row in rows}


def groups_of_tags(tag_ids: Iterable[int]) -> dict[int, int]:
    """Tag → its group."""
    rows = session().execute(select(Tag.id, Tag.group_id).where(Tag.id.in_(sorted(tag_ids))))
    return {row.id: row.group_id for row in rows}


def unknown_tags(tag_ids: Iterable[int]) -> list[int]:
    """Those of ``tag_ids`` that do not exist or were deleted, in order."""
    wanted = list(tag_ids)
    known = select(Tag.id).where(is_one_of(Tag.id, wanted), Tag.deleted_at.is_(None))
    found = set(session().scalars(known))
    return [tag_id for tag_id in wanted if tag_id not in found]


@dataclass(frozen=True)
class Rivals:
    """Several tags of one exclusive group."""

    group_id: int
    name: str
    tag_ids: list[int]


def exclusive_rivals(tag_ids: Iterable[int]) -> list[Rivals]:
    """The exclusive groups that more than one of the tags belong to."""
    rows = session().execute(
        select(TagGroup.id, TagGroup.name, func.array_agg(aggregate_order_by(Tag.id, Tag.id)))
        .join(Tag, Tag.group_id == TagGroup.id)
        .where(TagGroup.exclusive, is_one_of(Tag.id, set(tag_ids)))
        .group_by(TagGroup.id)
        .having(func.count() > 1)
        .order_by(TagGroup.id)
    )
    return [Rivals(group_id, name, list(tag_ids)) for group_id, name, tag_ids in rows]


def customer_tags(scope: Scope, customer_id: int) -> dict[str, Any]:
    """Every tag of a customer with state and sources, and the newest history; raises NotFound.

    Removed assignments are shown when a rule still wants them: somebody overruled it, another tag of an exclusive group
    goes before it, or its days are over.
    """
    customer_by_id(scope, customer_id)
    sourced = exists().where(TagSource.assignment_id == TagAssignment.id)
    a = TagAssignment
    rows = session().execute(
        select(
            a.id, a.tag_id, a.state, a.outranked, a.error, a.effect_id, a.changed_at,
            Tag.name.label("tag"), TagGroup.name.label("group"), TagGroup.push, Follow.staff_id,
        )
        .join(Tag, Tag.id == a.tag_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .join(Follow, Follow.id == a.follow_id)
        .where(a.customer_id == customer_id, or_(a.state != AssignmentState.REMOVED, sourced), own_follow(scope))
        .order_by(a.tag_id, a.follow_id)
    ).all()  # fmt: skip
    sources = _sources(row.id for row in rows)
    shown = [
        {
            **row._mapping,
            "sources": sources[row.id],
            "overruled": row.state == AssignmentState.REMOVED
            and not row.outranked
            and any(source.spent_at is None for source in sources[row.id]),
            "expired": row.state == AssignmentState.REMOVED and all(s.spent_at for s in sources[row.id]),
        }
        for row in rows
    ]
    return {"tags": shown, "history": _history(scope, customer_id)}


def _sources(assignment_ids: Iterable[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    statement = select(TagSource).where(is_one_of(TagSource.assignment_id, assignment_ids))
    for source in session().scalars(statement.order_by(TagSource.since, TagSource.source)):
        found[source.assignment_id].append(source)
    return found


def _history(scope: Scope, customer_id: int) -> Sequence[Any]:
    h = TagHistory
    return (
        session()
        .execute(
            select(h.at, h.tag_id, h.change, h.source, h.by, h.error, h.run_id, Follow.staff_id)
            .join(Follow, Follow.id == h.follow_id)
            .where(h.customer_id == customer_id, own_follow(scope))
            .order_by(h.at.desc(), h.id.desc())
            .limit(HISTORY_LINES)
        )
        .all()
    )


@portrait_section("tags")
def tags_section() -> ColumnElement[Any]:
    """Tags on each relation with their state and reasons; those being removed or refused too."""
    return literal_column("""(SELECT COALESCE(json_agg(json_build_object(
      'tag_id', a.tag_id, 'tag', t.name, 'group_id', t.group_id, 'group', g.name, 'push', g.push, 'staff_id', f.staff_id,
      'state', a.state, 'error', a.error, 'changed_at', a.changed_at,
      'sources', (SELECT COALESCE(json_agg(s.source ORDER BY s.since, s.source), '[]')
        FROM tag_sources s WHERE s.assignment_id = a.id)) ORDER BY a.tag_id, f.staff_id), '[]')
    FROM tag_assignments a JOIN tags t ON t.id = a.tag_id JOIN tag_groups g ON g.id = t.group_id
    JOIN follows f ON f.id = a.follow_id WHERE a.customer_id = customers.id AND a.state <> 'removed')""")
