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
from scrm.kernel.permissions import Actor, Scope
from scrm.kernel.settings import settings
from tags.rules.compiler import compile_condition, explain
from tags.rules.costs import ConditionTooSlow, too_slow
from tags.rules.leaves import Language
from tags.rules.queries.veiling import Reader
from tags.rules.service.bounds import TooSlow, bounded


def explanation(actor: Actor, audience_id: int, customer_id: int, language: Language) -> dict[str, Any]:
    """Whether a customer of the actor's scope belongs, node by node as far as the actor may ask.

    :raises NotFound: no such audience, or no such customer in the scope
    :raises ConditionTooSlow: it takes longer than ``[rules] preview_seconds``; names the leaf that costs most
    """
    tree = tree_of(audience_by_id(audience_id))
    customer_by_id(actor.scope, customer_id)
    hidden, seconds = Reader(actor).hidden(tree), settings().rules.preview_seconds
    try:
        with bounded(seconds):
            told = explain(tree, customer_id, language, hidden)
    except TooSlow:
        raise too_slow(tree, seconds, everybody=False) from None
    return {
        "audience_id": audience_id,
        "customer_id": customer_id,
        "at": utcnow(),
        "belongs": told["holds"],
        "condition": told,
    }


def audiences_of_customer(scope: Scope, customer_id: int) -> list[Audience]:
    """The audiences in use that a customer of the scope belongs to now, by name.

    One statement with a column for each audience; one that can no longer be worked out is left out.

    :raises NotFound: no such customer in the scope
    :raises ConditionTooSlow: it takes longer than ``[rules] preview_seconds``
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
    question = select(*columns).select_from(Customer).where(Customer.id == customer_id)
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            row = session().execute(question).one()
    except TooSlow:
        raise ConditionTooSlow(
            f"asking all {len(asked)} audiences about one customer took longer than {seconds:g} seconds and was stopped; "
            "archive audiences that nobody uses, or ask again when the database has less to do"
        ) from None
    return [audience for (audience, _), belongs in zip(asked, row, strict=True) if belongs]
