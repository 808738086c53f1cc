"""Rules that feed each other in a ring would never come to rest; they are refused when they are saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, select

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from tags.models import Rule, RuleVersion


@dataclass(frozen=True)
class RuleEnds:
    """What a rule looks at and what it changes, as facts (``tag:5``)."""

    name: str
    reads: frozenset[str]
    changes: frozenset[str]
    keep: bool


def refuse_cycles(rule_id: int) -> None:
    """Refuse the rule when its tags come back to it through other rules, or at once.

    One rule alone that keeps its tags may look at them: it comes to rest after one step.

    :raises InvalidInput: naming every rule of the ring and the tag between
    """
    rules = rule_ends()
    if ring := find_cycle(rules, rule_id):
        called = {each: f"rule {each}" for each in ring} | {rule_id: "this rule"}
        told = " → ".join(f"{called[each]} ({rules[each].name})" for each in [*ring, ring[0]])
        raise InvalidInput.field("condition", f"rules would feed each other in a ring: {told}")


def rule_ends() -> dict[int, RuleEnds]:
    """Every rule that is not deleted; drafts too, because they may become active later."""
    v = RuleVersion
    rows = session().execute(
        select(Rule.id, Rule.name, v.reads, v.add_tag_ids, v.remove_tag_ids, v.keep)
        .join(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(Rule.deleted_at.is_(None))
    )
    return {
        row.id: RuleEnds(
            row.name, frozenset(row.reads), _facts([*row.add_tag_ids, *row.remove_tag_ids]), row.keep
        )
        for row in rows
    }


def _facts(tag_ids: Iterable[int]) -> frozenset[str]:
    return frozenset(f"tag:{tag_id}" for tag_id in tag_ids)


def find_cycle(rules: Mapping[int, RuleEnds], start: int) -> list[int] | None:
    """The rules of a ring through ``start``, in the order in which they feed each other; None when there is none."""
    seen: set[int] = set()
    paths = [[start]]
    while paths:
        path = paths.pop()
        for next_id, rule in rules.items():
            if not rules[path[-1]].changes & rule.reads:
                continue
            if next_id == start and not (len(path) == 1 and rule.keep):
                return path
            if next_id not in seen and next_id != start:
                seen.add(next_id)
                paths.append([*path, next_id])
    return None
