"""Why a customer has a tag: sources, and of a rule its version, run, leaves and their values when it set the tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Text, and_, cast, literal, select
from sqlalchemy.orm import aliased

from scrm.customers.models import Follow
from scrm.customers.queries import customer_by_id
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound, ScrmError
from scrm.kernel.permissions import Actor, Scope
from tags.arrays import row_table
from tags.models import Rule, RuleVersion, Tag, TagAssignment, TagChange, TagHistory, TagSource
from tags.queries import own_follow
from tags.rules.compiler import leaf_words, words
from tags.rules.queries.veiling import Veil
from tags.rules.tree import parse_tree


def why_tag(actor: Actor, customer_id: int, tag_id: int) -> dict[str, Any]:
    """Every source of the tag on relations that an actor sees, oldest first; values as far as they may be read.

    A source of a rule shows the newest line of history in which it set the tag; what was set before reasons were kept
    has no leaves.

    :raises NotFound: no such customer in the scope, or no such tag
    """
    customer_by_id(actor.scope, customer_id)
    tag = session().get(Tag, tag_id)
    if tag is None:
        raise NotFound(f"there is no tag {tag_id}")
    rows = session().execute(_sources(actor.scope, customer_id, tag_id)).all()
    versions = _versions({(row.rule_id, row.reason["version"]) for row in rows if row.reason})
    reasons = [{**row._mapping, **_then(actor, row, versions)} for row in rows]
    return {"customer_id": customer_id, "tag_id": tag_id, "tag": tag.name, "reasons": reasons}


def _sources(scope: Scope, customer_id: int, tag_id: int) -> Any:
    a, s = TagAssignment, TagSource
    line = aliased(TagHistory)
    newest = (
        select(line.at, line.by, line.run_id, line.reason)
        .where(
            line.customer_id == customer_id,
            line.follow_id == a.follow_id,
            line.tag_id == tag_id,
            line.source == s.source,
            line.change == TagChange.ADDED,
        )
        .order_by(line.id.desc())
        .limit(1)
        .lateral("newest")
    )
    return (
        select(
            Follow.staff_id, a.state, a.outranked, s.source, s.since, s.spent_at, Rule.id.label("rule_id"),
            Rule.name.label("rule"), newest.c.at, newest.c.by, newest.c.run_id, newest.c.reason,
        )
        .select_from(a)
        .join(s, s.assignment_id == a.id)
        .join(Follow, Follow.id == a.follow_id)
        .outerjoin(newest, literal(True))
        .outerjoin(Rule, s.source == literal("rule:", Text) + cast(Rule.id, Text))
        .where(a.customer_id == customer_id, a.tag_id == tag_id, own_follow(scope))
        .order_by(s.since, Follow.staff_id, s.source)
    )  # fmt: skip


def _versions(wanted: set[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
    """Conditions by rule and version."""
    v = RuleVersion
    pairs = row_table("pairs", {"rule_id": BigInteger, "version": BigInteger}, sorted(wanted))
    found = select(v.rule_id, v.version, v.condition).join(
        pairs, and_(pairs.c.rule_id == v.rule_id, pairs.c.version == v.version)
    )
    return {(row.rule_id, row.version): row.condition for row in session().execute(found)}


def _then(actor: Actor, row: Any, versions: Mapping[tuple[int, int], dict[str, Any]]) -> dict[str, Any]:
    """What the rule said and saw when it set the tag."""
    reason = row.reason
    if not reason:
        return {"version": None, "condition": None, "leaves": []}
    condition = versions.get((row.rule_id, reason["version"]))
    said, known, veil = _words(actor, condition) if condition else (None, {}, None)
    leaves = [
        {
            "path": path,
            "holds": veil.holds(path, told[0]) if veil else None,
            "value": veil.kept(path, told[1]) if veil and len(told) > 1 else None,
            "words": known.get(path),
        }
        for path, told in reason["leaves"].items()
    ]
    return {"version": reason["version"], "condition": said, "leaves": leaves}


def _words(
    actor: Actor, condition: Mapping[str, Any]
) -> tuple[dict[str, str] | None, dict[str, dict[str, str]], Veil | None]:
    """The sentence of a condition, those of its leaves by path, and what may be read of their values.

    Nothing when it can no longer be read: then nobody knows what the values are.
    """
    try:
        node = parse_tree(condition)
        veil = Veil(actor, node)
        sentence = {"zh": words(condition, "zh", veil.hidden), "en": words(condition, "en", veil.hidden)}
        return sentence, leaf_words(node, veil.hidden), veil
    except ScrmError:
        return None, {}, None
