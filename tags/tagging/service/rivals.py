"""Rules that can give different tags of one exclusive group with nothing to say which goes first: named, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from sqlalchemy import and_, func, select

from scrm.kernel.db import session
from tags.models import Rule, RuleState, RuleVersion, Tag, TagGroup


def rival_rules(group_id: int | None = None, rule_id: int | None = None) -> list[str]:
    """What is wrong, a sentence each: of one group, or of one rule with whatever it meets; empty when nothing is.

    Active rules count, and the rule itself in whichever state.
    """
    given = _given(group_id, rule_id)
    found = []
    for first, second in combinations(given, 2):
        if first.group_id != second.group_id or first.tag_id == second.tag_id:
            continue
        if rule_id is not None and rule_id not in (first.rule_id, second.rule_id):
            continue
        if first.rule_id == second.rule_id:
            found.append(
                f"{_called(first, rule_id)} gives {first.tag} and {second.tag}, of which a relation can have "
                f"one: {first.group_name} is exclusive"
            )
        elif first.priority == second.priority:
            found.append(
                f"{_called(first, rule_id)} gives {first.tag} and {_called(second, rule_id)} "
                f"gives {second.tag} of the exclusive group {first.group_name}, both at priority {first.priority}; "
                "give one of them a higher priority"
            )
    return found


def _called(row: Any, rule_id: int | None) -> str:
    """The rule that is asked about has, when it is new, no number that anybody knows."""
    return f"this rule ({row.name})" if row.rule_id == rule_id else f"rule {row.rule_id} ({row.name})"


def exclusive_groups_of(rule_id: int) -> list[int]:
    """The exclusive groups that a rule gives tags of."""
    return sorted({row.group_id for row in _given(None, rule_id) if row.rule_id == rule_id})


def _given(group_id: int | None, rule_id: int | None) -> Sequence[Any]:
    """Which active rule gives which tag of which exclusive group."""
    v = RuleVersion
    counts = Rule.state == RuleState.ACTIVE
    if rule_id is not None:
        counts = counts | (Rule.id == rule_id)
    gives = (
        select(Rule.id.label("rule_id"), Rule.name, Rule.priority, func.unnest(v.add_tag_ids).label("tag_id"))
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(Rule.deleted_at.is_(None), counts)
        .subquery("gives")
    )
    statement = (
        select(gives, Tag.name.label("tag"), TagGroup.id.label("group_id"), TagGroup.name.label("group_name"))
        .join(Tag, Tag.id == gives.c.tag_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(TagGroup.exclusive, Tag.deleted_at.is_(None))
        .order_by(gives.c.rule_id, gives.c.tag_id)
    )
    if group_id is not None:
        statement = statement.where(TagGroup.id == group_id)
    return session().execute(statement).all()
