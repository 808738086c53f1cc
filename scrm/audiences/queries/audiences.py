"""Reading audiences: lists, one with who uses it, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from scrm.audiences.models import Audience, AudienceChange, AudienceDay, AudienceKind
from scrm.audiences.queries.in_audience import KIND
from scrm.audiences.queries.users import users_of
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound, ScrmError
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor, Scope
from tags.arrays import is_one_of
from tags.rules.migration import SCHEMA_VERSION
from tags.rules.queries.veiling import Reader


def audience_page(actor: Actor, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of audiences, newest first; ``kind``, ``archived`` and ``q`` (part of the name) narrow it.

    ``last_look`` of each is its newest daily count, which only an unlimited scope gets to see.
    """
    statement = select(Audience).where(Audience.deleted_at.is_(None))
    if (kind := query.get("kind")) is not None:
        statement = statement.where(Audience.kind == kind)
    if (archived := query.get("archived")) is not None:
        put_away = Audience.archived_at.is_not(None)
        statement = statement.where(put_away if archived else ~put_away)
    if q := query.get("q"):
        statement = statement.where(Audience.name.icontains(q, autoescape=True))
    page = paginate(statement, Audience.id, query)
    looks = _last_looks([each.id for each in page["items"]]) if actor.scope.everyone else {}
    reader = Reader(actor, [each.condition for each in page["items"] if each.condition])
    items = [{**shown(reader, each), "last_look": looks.get(each.id)} for each in page["items"]]
    return {**page, "items": items}


def _last_looks(audience_ids: Sequence[int]) -> dict[int, AudienceDay]:
    newest = (
        select(AudienceDay)
        .where(is_one_of(AudienceDay.audience_id, audience_ids), AudienceDay.count.is_not(None))
        .ext(distinct_on(AudienceDay.audience_id))
        .order_by(AudienceDay.audience_id, AudienceDay.day.desc())
    )
    return {look.audience_id: look for look in session().scalars(newest)}


def audience_by_id(audience_id: int) -> Audience:
    """One audience as it stands in the database; raises NotFound, also for a deleted one."""
    found = session().get(Audience, audience_id, populate_existing=True)
    if found is None or found.deleted_at is not None:
        raise NotFound(f"there is no audience {audience_id}")
    return found


def audience_detail(actor: Actor, audience_id: int) -> dict[str, Any]:
    """One audience as an actor may read it, with everything unfinished that uses it."""
    found = audience_by_id(audience_id)
    reader = Reader(actor, [found.condition] if found.condition else [])
    return {**shown(reader, found), "used_by": users_of(audience_id)}


def audience_changes(actor: Actor, audience_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of who changed what, newest first; also of a deleted audience.

    How many members came and went counts everybody's customers: only an unlimited scope gets to see it.
    """
    if session().get(Audience, audience_id) is None:
        raise NotFound(f"there is no audience {audience_id}")
    page = paginate(select(AudienceChange).filter_by(audience_id=audience_id), AudienceChange.id, query)
    trees = [tree for each in page["items"] for tree in each.changes.get("condition") or () if tree]
    reader = Reader(actor, trees)
    items = [_change_shown(actor.scope, reader, each) for each in page["items"]]
    return {**page, "items": items}


def tree_of(audience: Audience) -> dict[str, Any]:
    """Who belongs, as a condition: the audience's own, or that of being on its list."""
    if audience.kind is AudienceKind.TREE:
        return audience.condition or {}
    return {"schema_version": SCHEMA_VERSION, "kind": KIND, "audience_ids": [audience.id]}


def shown(reader: Reader, audience: Audience) -> dict[str, Any]:
    """An audience with its condition, and that in words of both languages, as a reader gets them."""
    columns = {column.key: getattr(audience, column.key) for column in Audience.__table__.columns}
    if not audience.condition:
        return {**columns, "words": None}
    told = {"condition": reader.condition(audience.condition), "words": _words(reader, audience.condition)}
    return {**columns, **told}


def _change_shown(scope: Scope, reader: Reader, change: AudienceChange) -> dict[str, Any]:
    told = {column.key: getattr(change, column.key) for column in AudienceChange.__table__.columns}
    if "members" in change.changes and not scope.everyone:
        told["changes"] = {**change.changes, "members": None}
    trees = change.changes.get("condition")
    if not trees:
        return {**told, "words": None}
    conditions = [reader.condition(tree) if tree else tree for tree in trees]
    told["changes"] = {**told["changes"], "condition": conditions}
    return {**told, "words": [_words(reader, tree) for tree in trees if tree]}


def _words(reader: Reader, condition: Mapping[str, Any]) -> dict[str, str] | None:
    """The sentence of a condition; nothing when it can no longer be read."""
    try:
        return reader.sentence(condition)
    except ScrmError:
        return None
