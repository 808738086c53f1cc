"""Exclusive tag groups (one of: level, stage): which tag of a relation stays where several are wanted.

The sources are the wishes; this says whose comes true. A rule's wish for a tag that lost stays, so that the tag comes
back when the other goes; what a person, WeCom or a code set once is replaced for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, and_, cast, delete, literal, select

from scrm.kernel.db import session
from scrm.kernel.locks import hold_in_transaction
from tags.arrays import is_one_of
from tags.models import Preference, Rule, RuleVersion, Tag, TagGroup, TagSource
from tags.tagging.service.rows import share_pushes

LOCKS = 8  # several writers of different relations at once
RULE = "rule:"
Rank = tuple[int, int, datetime, int]


@dataclass(frozen=True)
class Reason:
    """One source of an assignment and what it weighs."""

    source: str
    rank: Rank

    @property
    def of_rule(self) -> bool:
        """Whether the wish stands until the rule changes its mind."""
        return self.source.startswith(RULE)


@dataclass(frozen=True)
class Outcome:
    """One relation and group: who stays and who goes.

    :param winner: the assignment that stays (a locked row)
    :param losers: the others, each with the sources that it had
    """

    winner: Any
    source: str
    losers: Sequence[tuple[Any, Sequence[Reason]]]


def exclusive_groups(tag_ids: Iterable[int]) -> dict[int, Preference]:
    """The exclusive groups of these tags and whose tag they prefer."""
    found = (
        select(TagGroup.id, TagGroup.prefers)
        .join(Tag, Tag.group_id == TagGroup.id)
        .where(is_one_of(Tag.id, set(tag_ids)), TagGroup.exclusive)
        .distinct()
    )
    return {row.id: row.prefers for row in session().execute(found)}


def every_exclusive_group() -> dict[int, Preference]:
    """All exclusive groups and whose tag they prefer."""
    found = select(TagGroup.id, TagGroup.prefers).where(TagGroup.exclusive, TagGroup.deleted_at.is_(None))
    return {row.id: row.prefers for row in session().execute(found)}


def hold_relations(follow_ids: Iterable[int]) -> None:
    """Wait until nobody else decides about these relations; before their rows are read, until the transaction ends.

    Two tags of one group may be two new rows that do not see each other, so that row locks would not do.
    """
    share_pushes()  # always before these, so that no two wait for each other through somebody who switches a group
    for shard in sorted({follow_id % LOCKS for follow_id in follow_ids}):
        hold_in_transaction(f"tags.exclusive:{shard}")


def outcomes(rows: Sequence[Any], groups: Mapping[int, Preference]) -> list[Outcome]:
    """Decide among standing assignments of exclusive groups.

    :param rows: locked rows that are wanted or outranked, of any relations and groups
    """
    reasons = _reasons(rows, groups)
    rivals: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in rows:
        if reasons[row.id]:
            rivals[row.follow_id, row.group_id].append(row)
    return [_decide(each, reasons) for each in rivals.values()]


def _decide(rivals: Sequence[Any], reasons: Mapping[int, Sequence[Reason]]) -> Outcome:
    best = {row.id: max(reasons[row.id], key=lambda reason: reason.rank) for row in rivals}
    winner = max(rivals, key=lambda row: (best[row.id].rank, row.id))
    losers = [(row, reasons[row.id]) for row in rivals if row.id != winner.id]
    return Outcome(winner, best[winner.id].source, losers)


def _reasons(rows: Sequence[Any], groups: Mapping[int, Preference]) -> dict[int, list[Reason]]:
    """By assignment, the sources that want it now."""
    group_of = {row.id: row.group_id for row in rows}
    found: dict[int, list[Reason]] = defaultdict(list)
    if not rows:
        return found
    s, v = TagSource, RuleVersion
    statement = (
        select(s.assignment_id, s.source, s.since, Rule.id, Rule.priority, v.created_at)
        .outerjoin(Rule, s.source == literal(RULE, Text) + cast(Rule.id, Text))
        .outerjoin(v, and_(v.rule_id == Rule.id, v.version == Rule.version))
        .where(is_one_of(s.assignment_id, group_of), s.spent_at.is_(None))
    )
    for row in session().execute(statement):
        prefers = groups[group_of[row.assignment_id]]
        found[row.assignment_id].append(Reason(row.source, _rank(row, prefers)))
    return found


def _rank(row: Any, prefers: Preference) -> Rank:
    """Rules by priority, then the newest version; people by the newest wish; the one kind before the other."""
    if row.id is not None:
        return 0, row.priority, row.created_at, row.id
    return (1 if prefers == Preference.PEOPLE else -1), 0, row.since, 0


def forget_once(losers: Iterable[tuple[Any, Sequence[Reason]]]) -> list[tuple[Any, str]]:
    """Drop the losers' sources that are no rules; returns (row, source) of each."""
    rows = {row.id: row for row, _ in losers}
    if not rows:
        return []
    gone = (
        delete(TagSource)
        .where(is_one_of(TagSource.assignment_id, rows), TagSource.source.not_like(f"{RULE}%"))
        .returning(TagSource.assignment_id, TagSource.source)
    )
    found = session().execute(gone)
    return sorted(((rows[row.assignment_id], row.source) for row in found), key=lambda e: (e[0].id, e[1]))
