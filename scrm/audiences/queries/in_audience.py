"""The leaf ``in_audience``: a tree is expanded in place, a list is looked up, so that whatever asks a condition asks SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf
from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_, select, union

from scrm.audiences.models import Audience, AudienceMember
from scrm.customers.models import Customer
from scrm.kernel.db import session
from scrm.kernel.schemas import Schema
from tags.arrays import is_one_of
from tags.rules.compiler import TIME, compile_condition, condition_expires, condition_reads, versioned
from tags.rules.leaves import Args, Language, Leaf, Names, id_field, listed

KIND = "in_audience"
MAX_AUDIENCES = 20  # of one leaf
Tree = dict[str, Any]


class InAudience(Schema):
    """Arguments: audiences; the customer belongs to ``any`` of them, to ``all``, or to ``none``."""

    audience_ids = fields.List(id_field(), required=True, validate=Length(1, MAX_AUDIENCES))
    match = fields.String(load_default="any", validate=OneOf(("any", "all", "none")))


def fact_of(audience_id: int) -> str:
    """The fact that changes with who belongs to an audience."""
    return f"audience:{audience_id}"


def trees_of(audience_ids: Iterable[int]) -> dict[int, Tree | None]:
    """Conditions of audiences by id, None of a static list; what was deleted is left out."""
    rows = session().execute(
        select(Audience.id, Audience.condition).where(
            is_one_of(Audience.id, audience_ids), Audience.deleted_at.is_(None)
        )
    )
    return {row.id: row.condition for row in rows}


def on_list(audience_id: int) -> ColumnElement[bool]:
    """The customer is on a static list; for a few customers."""
    row = AudienceMember.customer_id == Customer.id, AudienceMember.audience_id == audience_id
    return exists().where(*row).correlate(Customer)


def _on_list_of_all(audience_id: int) -> ColumnElement[bool]:
    return Customer.id.in_(
        select(AudienceMember.customer_id).where(AudienceMember.audience_id == audience_id)
    )


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return _combined(args, lambda tree: compile_condition(tree, now=now), on_list)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _combined(args, lambda tree: compile_condition(tree, now=now, everybody=True), _on_list_of_all)


def _combined(
    args: Args,
    of_tree: Callable[[Tree], ColumnElement[bool]],
    of_list: Callable[[int], ColumnElement[bool]],
) -> ColumnElement[bool]:
    known = trees_of(args["audience_ids"])
    parts: list[ColumnElement[bool]] = []
    for id_ in args["audience_ids"]:
        tree = known.get(id_)
        if id_ not in known:
            parts.append(false())  # nobody belongs to what is gone
        else:
            parts.append(of_list(id_) if tree is None else of_tree(tree))
    if len(parts) == 1:  # bare, so that the ids on a list can be asked without a look at customers
        return not_(parts[0]) if args["match"] == "none" else parts[0]
    if args["match"] == "all":
        return and_(*parts).self_group()
    some = or_(*parts).self_group()
    return not_(some) if args["match"] == "none" else some


def _reads(args: Args) -> set[str]:
    trees = trees_of(args["audience_ids"]).values()
    inside = {fact for tree in trees if tree is not None for fact in condition_reads(tree)}
    return ({fact_of(id_) for id_ in args["audience_ids"]} | inside) - {TIME}


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    trees = trees_of(args["audience_ids"]).values()
    found = [
        statement
        for tree in trees
        if tree is not None and (statement := condition_expires(tree, since, until)) is not None
    ]
    if not found:
        return None
    together = union(*found).subquery()
    return select(together.c.customer_id)


def _check(args: Args) -> dict[str, str]:
    archived = select(Audience.id).where(
        is_one_of(Audience.id, args["audience_ids"]), Audience.archived_at.is_not(None)
    )
    put_away = set(session().scalars(archived))
    return {
        f"audience_ids.{i}": f"audience {id_} is archived; take it out of the archive first"
        for i, id_ in enumerate(args["audience_ids"])
        if id_ in put_away
    }


def _words(args: Args, language: Language, names: Names) -> str:
    told = listed(args["audience_ids"], "audiences", names, language)
    several = len(args["audience_ids"]) > 1
    if language == "zh":
        zh = {"any": "在人群{}之一中", "all": "同时在人群{}中", "none": "不在人群{}任何一个中"}
        one = {"any": "在人群{}中", "all": "在人群{}中", "none": "不在人群{}中"}
        return (zh if several else one)[args["match"]].format(told)
    en = {"any": "is in any of the audiences {}", "all": "is in all of the audiences {}"}
    of_one = {"any": "is in the audience {}", "all": "is in the audience {}"}
    found = (en if several else of_one).get(args["match"])
    return (found or ("is in none of the audiences {}" if several else "is not in the audience {}")).format(
        told
    )


def expanded(leaf: Mapping[str, Any]) -> Tree | None:
    """What the leaf stands for now: conditions of audiences in place, lists one by one; None: it is one list."""
    ids, match = leaf["audience_ids"], leaf.get("match") or "any"
    known = trees_of(ids)
    if ids == [*known] and match == "any" and known[ids[0]] is None and len(ids) == 1:
        return None
    parts: list[Tree] = []
    for id_ in ids:
        tree = known.get(id_)
        one = (
            {"kind": KIND, "audience_ids": [id_]} if id_ in known else {"any": []}
        )  # nobody, when it is gone
        parts.append(one if tree is None else _body(tree))
    return (
        {"all": parts} if match == "all" else {"not": {"any": parts}} if match == "none" else {"any": parts}
    )


def _body(tree: Tree) -> Tree:
    return {key: value for key, value in versioned(tree).items() if key != "schema_version"}


LEAF = Leaf(
    kind=KIND,
    schema=InAudience,
    reads=_reads,
    clause=_clause,
    words=_words,
    refers={"audience_ids": "audiences"},
    expires=_expires,
    over_all=_over_all,
    check=_check,
)
