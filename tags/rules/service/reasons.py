"""Why a rule adds a tag: every leaf's answer and what it looked at, kept with the line of history.

One statement for all rules and customers of a batch. A snapshot is bounded: a tree has at most 100 nodes, a value 100
characters, and what is still too long keeps the answers alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import BigInteger, Boolean, Select, Text, cast, literal, null, select, union_all
from sqlalchemy.dialects.postgresql import array

from scrm.customers.models import Customer
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from tags.arrays import is_one_of
from tags.rules.leaf_values import leaf_value
from tags.rules.leaves import Leaf
from tags.rules.service.bounds import FAULTS, bounded
from tags.rules.service.texts import RuleText
from tags.rules.tree import Node, parse_tree

MAX_BYTES = 4000
Pair = tuple[int, int]
log = structlog.get_logger(__name__)


def reasons(rules: Sequence[RuleText], pairs: Iterable[Pair], now: datetime) -> dict[Pair, dict[str, Any]]:
    """By (rule id, customer id): ``{"version", "leaves": {path: [holds] | [holds, value]}}``.

    A leaf that cannot be asked alone costs its rule the reasons, never the tags.
    """
    wanted: dict[int, set[int]] = defaultdict(set)
    for rule_id, customer_id in pairs:
        wanted[rule_id].add(customer_id)
    asked = [rule for rule in rules if rule.id in wanted]
    if not asked:
        return {}
    try:
        return _looked(asked, wanted, now)
    except FAULTS:
        log.warning("reasons not kept", rule_ids=[rule.id for rule in asked])
        return {}


def _looked(
    rules: Sequence[RuleText], wanted: Mapping[int, set[int]], now: datetime
) -> dict[Pair, dict[str, Any]]:
    leaves = {rule.id: list(parse_tree(rule.condition).leaves()) for rule in rules}
    versions = {rule.id: rule.version for rule in rules}
    statement = union_all(*(_answers(rule.id, leaves[rule.id], wanted[rule.id], now) for rule in rules))
    with bounded(settings().rules.look_seconds):
        rows = session().execute(statement).all()
    return {
        (row.rule_id, row.customer_id): snapshot(
            versions[row.rule_id], [node.path for _, node in leaves[row.rule_id]], row.holds, row.shown
        )
        for row in rows
    }


def _answers(
    rule_id: int, leaves: Sequence[tuple[Leaf, Node]], customer_ids: set[int], now: datetime
) -> Select[Any]:
    return select(
        literal(rule_id, BigInteger).label("rule_id"),
        Customer.id.label("customer_id"),
        *leaf_columns(leaves, now, Scope.all()),
    ).where(is_one_of(Customer.id, customer_ids))


def leaf_columns(leaves: Sequence[tuple[Leaf, Node]], now: datetime, scope: Scope) -> tuple[Any, Any]:
    """``holds`` (boolean[]) and ``shown`` (text[]), one element a leaf, correlated on customers.

    What holds is the same for everybody; values that come from relations are those of relations inside the scope.
    """
    holds = [cast(leaf.clause(node.args, now), Boolean) for leaf, node in leaves]
    values = [leaf_value(leaf, node.args, now, scope) for leaf, node in leaves]
    shown = [cast(null() if value is None else value, Text) for value in values]
    return array(holds).label("holds"), array(shown).label("shown")


def snapshot(
    version: int, paths: Sequence[str], holds: Sequence[bool], shown: Sequence[str | None]
) -> dict[str, Any]:
    """The leaves' answers in the form in which they are kept."""
    told = {
        path: [truth] if value is None else [truth, value]
        for path, truth, value in zip(paths, holds, shown, strict=True)
    }
    if len(orjson.dumps(told)) > MAX_BYTES:
        told = {path: [truth] for path, truth in zip(paths, holds, strict=True)}
    return {"version": version, "leaves": told}
