"""Why one customer belongs, or does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, cast, select

from scrm.audiences.models import Audience
from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.customers.models import Customer
from scrm.customers.queries import customer_by_id
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.permissions import Scope
from tags.rules.compiler import compile_condition, explain
from tags.rules.leaves import Language


def explanation(scope: Scope, audience_id: int, customer_id: int, language: Language) -> dict[str, Any]:
    """Whether a customer of the scope belongs, node by node; raises NotFound."""
    tree = tree_of(audience_by_id(audience_id))
    customer_by_id(scope, customer_id)
    told = explain(tree, customer_id, language)
    return {
        "audience_id": audience_id,
        "customer_id": customer_id,
        "at": utcnow(),
        "belongs": told["holds"],
        "condition": told,
    }


def audiences_of_customer(scope: Scope, customer_id: int) -> list[Audience]:
    """The audiences in use that a customer of the scope belongs to now, by name; raises NotFound.

    One statement with a column for each audience; one that can no longer be worked out is left out.
    """
    customer_by_id(scope, customer_id)
    in_use = select(Audience).where(Audience.deleted_at.is_(None), Audience.archived_at.is_(None))
    asked = []
    for audience in session().scalars(in_use.order_by(Audience.name)):
        try:
            asked.append(
                (audience, cast(compile_condition(tree_of(audience)), Boolean).label(f"a{audience.id}"))
            )
        except ScrmError:
            continue
    if not asked:
        return []
    columns = [column for _, column in asked]
    row = session().execute(select(*columns).select_from(Customer).where(Customer.id == customer_id)).one()
    return [audience for (audience, _), belongs in zip(asked, row, strict=True) if belongs]
