"""Who belongs to an audience now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from scrm.audiences.models import AudienceMember
from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from tags.arrays import is_one_of
from tags.rules.compiler import compile_condition, words
from tags.rules.costs import too_slow
from tags.rules.queries.previews import leaf_answers
from tags.rules.service.bounds import TooSlow, bounded

Tree = Mapping[str, Any]


def audience_count(scope: Scope, audience_id: int) -> dict[str, Any]:
    """How many customers of the scope belong now; raises ConditionTooSlow."""
    return count(scope, tree_of(audience_by_id(audience_id)))


def count(scope: Scope, tree: Tree) -> dict[str, Any]:
    """``count`` customers of the scope for whom a condition holds, ``as_of`` which moment, and whether ``exact`` then."""
    counting = select(func.count()).select_from(Customer).where(_meant(scope, tree, everybody=True))
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            return {"count": session().scalar(counting), "as_of": utcnow(), "exact": True}
    except TooSlow:
        raise too_slow(tree, seconds) from None


def preview(scope: Scope, tree: Tree, sample: int) -> dict[str, Any]:
    """A condition that is not saved: its sentence, the count, and the newest customers it holds for, leaf by leaf."""
    newest = select(Customer.id).order_by(Customer.id.desc()).limit(sample)
    return {
        **count(scope, tree),
        "words": {"zh": words(tree, "zh"), "en": words(tree, "en")},
        "samples": leaf_answers(tree, list(_bounded(scope, tree, newest))),
    }


def member_page(scope: Scope, audience_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of customers who belong, newest customer first, each with every leaf's answer."""
    found = audience_by_id(audience_id)
    tree = tree_of(found)
    told: Any = select(Customer.id.label("customer_id"), Customer.external_userid, Customer.name)
    page = _page(scope, tree, told, query)
    ids = [each["customer_id"] for each in page["items"]]
    why = {each["customer_id"]: each["leaves"] for each in leaf_answers(tree, ids)}
    listed = _listed(audience_id, ids)
    items = [
        {**each, "leaves": why[each["customer_id"]], **listed.get(each["customer_id"], {})}
        for each in page["items"]
    ]
    return {**page, "items": items}


def _page(scope: Scope, tree: Tree, told: Select[Any], query: Mapping[str, Any]) -> dict[str, Any]:
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            return paginate(told.where(_meant(scope, tree)), Customer.id, query)
    except TooSlow:
        raise too_slow(tree, seconds) from None


def _bounded(scope: Scope, tree: Tree, statement: Select[Any]) -> list[int]:
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            return list(session().scalars(statement.where(_meant(scope, tree))))
    except TooSlow:
        raise too_slow(tree, seconds) from None


def _meant(scope: Scope, tree: Tree, *, everybody: bool = False) -> ColumnElement[bool]:
    return and_(compile_condition(tree, everybody=everybody), visible(scope))


def _listed(audience_id: int, customer_ids: list[int]) -> dict[int, dict[str, Any]]:
    """What put customers on a static list, and when."""
    m = AudienceMember
    rows = session().execute(
        select(m.customer_id, m.source, m.added_at).where(
            m.audience_id == audience_id, is_one_of(m.customer_id, customer_ids)
        )
    )
    return {row.customer_id: {"source": row.source, "added_at": row.added_at} for row in rows}
