"""What a rule takes away against what it or others give: named where the rule is shown, in the words of both languages.

Nothing here is wrong enough to be refused (rings and exclusive groups are): a rule takes away only what it set itself,
so that a tag which another one gives stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, select

from scrm.kernel.db import session
from tags.arrays import is_one_of
from tags.models import Rule, RuleVersion, Tag

Told = dict[str, list[str]]


def conflicts_of(rule_ids: Iterable[int]) -> dict[int, Told]:
    """By rule, what contradicts it, ``{"zh": [...], "en": [...]}``; every rule asked for is there."""
    asked = set(rule_ids)
    rules = _present()
    touched = {tag for rule in rules.values() for tag in rule.remove_tag_ids}
    told: dict[int, Told] = {id_: {"zh": [], "en": []} for id_ in asked}
    if not touched:
        return told
    names = _names(touched)
    given = _ever_given(asked)
    for rule_id in sorted(asked & rules.keys()):
        for zh, en in _of_rule(rules[rule_id], rules.values(), names, given[rule_id]):
            told[rule_id]["zh"].append(zh)
            told[rule_id]["en"].append(en)
    return told


def _of_rule(
    rule: Any, rules: Iterable[Any], names: Mapping[int, str], given: set[int]
) -> Iterable[tuple[str, str]]:
    for tag in rule.remove_tag_ids:
        if tag not in given:
            yield (
                f"去掉标签{names[tag]}，但本规则从未打上它：规则只去掉自己打上的标签",
                f"takes away {names[tag]}, which it never gave: a rule takes away only what it set itself",
            )
    for other in rules:
        if other.id == rule.id:
            continue
        for tag in sorted(set(rule.remove_tag_ids) & set(other.add_tag_ids)):
            yield (
                f"去掉标签{names[tag]}，而规则{other.id}（{other.name}）会打上它：该规则成立时标签保留",
                f"takes away {names[tag]}, which rule {other.id} ({other.name}) gives: it stays where that one holds",
            )
        for tag in sorted(set(rule.add_tag_ids) & set(other.remove_tag_ids)):
            yield (
                f"打上标签{names[tag]}，而规则{other.id}（{other.name}）会去掉它：本规则成立时标签保留",
                f"gives {names[tag]}, which rule {other.id} ({other.name}) takes away: it stays where this one holds",
            )


def _present() -> dict[int, Any]:
    """Every rule there is with what it gives and takes now."""
    v = RuleVersion
    found = session().execute(
        select(Rule.id, Rule.name, v.add_tag_ids, v.remove_tag_ids)
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(Rule.deleted_at.is_(None))
        .order_by(Rule.id)
    )
    return {row.id: row for row in found}


def _ever_given(rule_ids: Iterable[int]) -> dict[int, set[int]]:
    """What the rules gave at some version."""
    v = RuleVersion
    pairs = select(v.rule_id, func.unnest(v.add_tag_ids).label("tag_id")).where(
        is_one_of(v.rule_id, rule_ids)
    )
    given: dict[int, set[int]] = defaultdict(set)
    for row in session().execute(pairs.distinct()):
        given[row.rule_id].add(row.tag_id)
    return given


def _names(tag_ids: Iterable[int]) -> dict[int, str]:
    found = session().execute(select(Tag.id, Tag.name).where(is_one_of(Tag.id, tag_ids)))
    return {row.id: row.name for row in found}


def with_conflicts(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules as they are shown, each with its ``conflicts``."""
    told = conflicts_of(rule["id"] for rule in rules)
    return [{**rule, "conflicts": told[rule["id"]]} for rule in rules]
