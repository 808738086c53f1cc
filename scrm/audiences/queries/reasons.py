"""Why customers belong: every leaf's answer and what it looked at, as far as the actor may read that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, cast, select

from scrm.audiences.models import Audience
from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.audiences.queries.export_columns import PERSON, Shown, export_columns, shown_to, veiled
from scrm.customers.models import Customer
from scrm.customers.queries import customer_by_id
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.permissions import Actor, Scope
from tags.rules.compiler import compile_condition, explain
from tags.rules.leaves import Language
from tags.rules.queries.previews import leaf_answers
from tags.rules.tree import parse_tree


def reasons(actor: Actor, tree: Mapping[str, Any], customer_ids: Sequence[int]) -> list[dict[str, Any]]:
    """For each customer, in the order given, every leaf's words, answer and value; values are masked as in an export."""
    told = leaf_answers(tree, customer_ids)
    veils = _veils(actor, tree)
    for each in told:
        for leaf in each["leaves"]:
            if leaf["value"] and (how := veils.get(leaf["path"])):
                leaf["value"] = veiled(leaf["value"], how)
    return told


def _veils(actor: Actor, tree: Mapping[str, Any]) -> dict[str, Shown]:
    """Path of a leaf → how its value is shown, of those that are not shown in full."""
    asked = {
        each.path: str(each.args["field"]) for _, each in parse_tree(tree).leaves() if "field" in each.args
    }
    columns = export_columns()
    known = {path: columns[key] for path, name in asked.items() if (key := _column_of(name)) in columns}
    shown = shown_to(list(known.values()), actor)
    return {path: shown[c.key] for path, c in known.items() if shown[c.key] is not Shown.PLAIN}


def _column_of(field: str) -> str:
    """``person.address.city`` → ``person.address``; ``follow.remark_mobiles`` → ``remark_mobiles``."""
    owner, key, *_ = field.split(".")
    return f"{PERSON}{key}" if f"{owner}." == PERSON else key


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
