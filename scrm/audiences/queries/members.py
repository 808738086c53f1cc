"""Who belongs to an audience now, and why.

Sets say who may belong, SQL looks at those again: what is shown holds at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import select

from scrm.audiences.models import AudienceMember
from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.audiences.queries.sets import Tree, count_of, in_time, members_of
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.paging import decode_cursor, encode_cursor
from scrm.kernel.permissions import Actor, Scope
from tags.arrays import is_one_of
from tags.rules.compiler import compile_condition, words
from tags.rules.queries.previews import leaf_answers


def audience_count(scope: Scope, audience_id: int) -> dict[str, Any]:
    """How many customers of the scope belong; raises NotFound and ConditionTooSlow."""
    return asdict(count_of(tree_of(audience_by_id(audience_id)), scope))


def preview(actor: Actor, tree: Tree, sample: int) -> dict[str, Any]:
    """A condition that is not saved: its sentence, the count, and the newest customers it holds for, leaf by leaf."""
    found = members_of(tree, actor.scope)
    rows = _still(actor.scope, tree, _newest(found.ids, sample)[0])
    return {
        "count": len(found.ids),
        "as_of": found.as_of,
        "exact": found.exact,
        "words": {"zh": words(tree, "zh"), "en": words(tree, "en")},
        "samples": leaf_answers(actor, tree, [row["customer_id"] for row in rows]),
    }


def member_page(actor: Actor, audience_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of customers who belong, newest customer first, each with every leaf's answer.

    A page may hold fewer than asked for when somebody ceased to belong a moment ago.
    """
    tree = tree_of(audience_by_id(audience_id))
    before = int(decode_cursor(query["cursor"])) if query.get("cursor") else None
    page, more = _newest(members_of(tree, actor.scope).ids, query["limit"], before)
    rows = _still(actor.scope, tree, page)
    ids = [row["customer_id"] for row in rows]
    why = {each["customer_id"]: each["leaves"] for each in leaf_answers(actor, tree, ids)}
    listed = _listed(audience_id, ids)
    return {
        "items": [
            {**row, "leaves": why[row["customer_id"]], **listed.get(row["customer_id"], {})} for row in rows
        ],
        "next_cursor": encode_cursor(page[-1]) if more else None,
    }


def _newest(ids: BitMap64, limit: int, before: int | None = None) -> tuple[list[int], bool]:
    """(the ``limit`` largest ids, below ``before``, largest first; whether there are more)."""
    end = len(ids) if before is None else ids.rank(max(0, before - 1))
    begin = max(0, end - limit)
    return [ids[place] for place in range(end - 1, begin - 1, -1)], begin > 0


def _still(scope: Scope, tree: Tree, customer_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Those of the customers for whom the condition holds at this moment."""
    told = select(Customer.id.label("customer_id"), Customer.external_userid, Customer.name).where(
        is_one_of(Customer.id, customer_ids), compile_condition(tree), visible(scope)
    )
    rows = in_time(tree, lambda: session().execute(told.order_by(Customer.id.desc())).mappings().all())
    return [dict(row) for row in rows]


def _listed(audience_id: int, customer_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What put customers on a static list, and when."""
    m = AudienceMember
    rows = session().execute(
        select(m.customer_id, m.source, m.added_at).where(
            m.audience_id == audience_id, is_one_of(m.customer_id, customer_ids)
        )
    )
    return {row.customer_id: {"source": row.source, "added_at": row.added_at} for row in rows}
