"""Who names a property of an event type in a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import and_, select

from scrm.behaviour.registry import PropertyUser
from scrm.kernel.db import session
from tags.models import Rule, RuleVersion

STEPS = ("first", "then")  # of a sequence


def names_property(tree: object, type_id: int, keys: frozenset[str]) -> bool:
    """Whether a condition names one of these properties of an event type, wherever; also of one that is not valid."""
    if not isinstance(tree, Mapping):
        return False
    if any(
        step.get("event_type_id") == type_id and not keys.isdisjoint(_named(step)) for step in _steps(tree)
    ):
        return True
    below: list[Any] = [tree.get("not"), *(tree.get("all") or ()), *(tree.get("any") or ())]
    return any(names_property(each, type_id, keys) for each in below)


def _steps(leaf: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [leaf, *(leaf[name] for name in STEPS if isinstance(leaf.get(name), Mapping))]


def _named(step: Mapping[str, Any]) -> Iterator[str]:
    yield from (each["property"] for each in step.get("where") or () if "property" in each)
    if step.get("property"):
        yield step["property"]


def rules_naming_properties(type_id: int, keys: frozenset[str]) -> list[PropertyUser]:
    """Rules that are not deleted and whose newest version names any of these properties; drafts too."""
    newest = and_(RuleVersion.rule_id == Rule.id, RuleVersion.version == Rule.version)
    kept = select(Rule.id, Rule.name, RuleVersion.condition).join(RuleVersion, newest)
    return [
        PropertyUser("rule", row.id, row.name)
        for row in session().execute(kept.where(Rule.deleted_at.is_(None)).order_by(Rule.id))
        if names_property(row.condition, type_id, keys)
    ]
