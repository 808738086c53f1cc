"""Reading rules, their versions and who changed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select

from scrm.customers.queries import customer_by_id
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor
from scrm.kernel.settings import settings
from tags.models import Rule, RuleChange, RuleVersion
from tags.rules.compiler import explain
from tags.rules.costs import too_slow
from tags.rules.leaves import Language
from tags.rules.queries.conflicts import with_conflicts
from tags.rules.queries.veiling import Reader
from tags.rules.queries.versions import with_changes
from tags.rules.service.bounds import TooSlow, bounded


def rule_page(actor: Actor, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of rules as an actor may read them, newest first; ``state`` narrows it."""
    statement = _rules()
    if state := query.get("state"):
        statement = statement.where(Rule.state == state)
    page = paginate(statement, Rule.id, query)
    reader = Reader(actor, [row["condition"] for row in page["items"]])
    return {**page, "items": with_conflicts([_shown(reader, row) for row in page["items"]])}


def rule_detail(actor: Actor, rule_id: int) -> dict[str, Any]:
    """One rule with its newest version, as an actor may read it; raises NotFound."""
    row = _rule(rule_id)
    return with_conflicts([_shown(Reader(actor, [row["condition"]]), row)])[0]


def _rule(rule_id: int) -> dict[str, Any]:
    row = session().execute(_rules().where(Rule.id == rule_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no rule {rule_id}")
    return dict(row)


def rule_versions(actor: Actor, rule_id: int) -> list[dict[str, Any]]:
    """What a rule said at each version and what that changed in words, as an actor may read it, newest first.

    :raises NotFound: no such rule
    """
    _rule(rule_id)
    found = select(RuleVersion).filter_by(rule_id=rule_id).order_by(RuleVersion.version)
    versions = session().scalars(found).all()
    return with_changes(versions, Reader(actor, [each.condition for each in versions]))[::-1]


def condition_at(rule_id: int, version: int) -> dict[str, Any]:
    """The condition of a rule at a version; raises NotFound."""
    found = session().scalar(select(RuleVersion.condition).filter_by(rule_id=rule_id, version=version))
    if found is None:
        raise NotFound(f"rule {rule_id} has no version {version}")
    return dict(found)


def rule_changes(rule_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of who changed name, state, priority or schedule, newest first; raises NotFound."""
    _rule(rule_id)
    return paginate(select(RuleChange).where(RuleChange.rule_id == rule_id), RuleChange.id, query)


def explanation(actor: Actor, rule_id: int, customer_id: int, language: Language) -> dict[str, Any]:
    """Whether a rule holds for a customer of the actor's scope, leaf by leaf as far as the actor may ask.

    :raises NotFound: no such rule, or no such customer in the scope
    :raises ConditionTooSlow: it takes longer than ``[rules] preview_seconds``; names the leaf that costs most
    """
    rule = _rule(rule_id)
    customer_by_id(actor.scope, customer_id)
    hidden = Reader(actor).hidden(rule["condition"])
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            told = explain(rule["condition"], customer_id, language, hidden)
    except TooSlow:
        raise too_slow(rule["condition"], seconds, everybody=False) from None
    return {
        "rule_id": rule_id,
        "customer_id": customer_id,
        "at": utcnow(),
        "holds": told["holds"],
        "condition": told,
    }


def _rules() -> Any:
    v = RuleVersion
    return (
        select(
            Rule.id, Rule.name, Rule.state, Rule.version, Rule.priority, Rule.schedule, Rule.daily_at, Rule.daily_next,
            Rule.error, Rule.created_at, Rule.updated_at, v.condition, v.reads, v.add_tag_ids, v.remove_tag_ids, v.keep,
            v.expire_after_days, v.made_by,
        )
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(Rule.deleted_at.is_(None))
    )  # fmt: skip


def _shown(reader: Reader, row: Mapping[str, Any]) -> dict[str, Any]:
    condition = row["condition"]
    told = {"condition": reader.condition(condition), "words": reader.sentence(condition)}
    return {**row, **told, "reads": reader.facts(row["reads"])}
