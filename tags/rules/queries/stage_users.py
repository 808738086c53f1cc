"""Who names a stage of the lifecycle in a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select

from scrm.kernel.db import session
from scrm.value.registry import StageUser
from tags.models import Rule, RuleVersion
from tags.rules.conditions.stage import LEAF


def names_stage(tree: object, keys: frozenset[str]) -> bool:
    """Whether a condition names any of these stages, wherever; also of one that is no longer valid."""
    if not isinstance(tree, Mapping):
        return False
    if tree.get("kind") == LEAF.kind and not keys.isdisjoint(tree.get("stages") or ()):
        return True
    below: list[Any] = [tree.get("not"), *(tree.get("all") or ()), *(tree.get("any") or ())]
    return any(names_stage(each, keys) for each in below)


def rules_naming_stage(keys: frozenset[str]) -> list[StageUser]:
    """Rules that are not deleted and whose newest version names any of these stages; drafts too."""
    newest = and_(RuleVersion.rule_id == Rule.id, RuleVersion.version == Rule.version)
    kept = select(Rule.id, Rule.name, RuleVersion.condition).join(RuleVersion, newest)
    return [
        StageUser("rule", row.id, row.name)
        for row in session().execute(kept.where(Rule.deleted_at.is_(None)).order_by(Rule.id))
        if names_stage(row.condition, keys)
    ]
