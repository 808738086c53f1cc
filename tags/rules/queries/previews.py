"""A preview: what a rule would do now, with samples and their reasons, without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import select

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor
from scrm.kernel.settings import settings
from tags.arrays import is_one_of
from tags.rules.compiler import leaf_words, words
from tags.rules.costs import too_slow
from tags.rules.queries.impact import NO_RULE, impact_on
from tags.rules.queries.veiling import Veil
from tags.rules.service.bounds import TooSlow, bounded
from tags.rules.service.reasons import leaf_columns
from tags.rules.service.texts import RuleText
from tags.rules.tree import parse_tree
from tags.sets.service.counting import members_of_tree
from tags.sync.queries import calls_take


def preview(actor: Actor, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule would do now to the customers an actor may see, without doing it.

    :param rule: ``condition``, ``add_tag_ids``, ``remove_tag_ids``, ``keep``, ``sample``, and ``rule_id`` when it is a
        changed text of a rule that exists
    :raises InvalidInput: the condition is malformed
    :raises ConditionTooSlow: it takes longer than ``[rules] preview_seconds``; names the leaf that costs most
    """
    seconds, scope = settings().rules.preview_seconds, actor.scope
    members = members_of_tree(rule["condition"], scope, seconds=seconds)
    try:
        with bounded(seconds):
            told = impact_on(members, scope, rule_text(rule))
            sample = newest(members.ids, rule["sample"])
            samples = leaf_answers(actor, rule["condition"], sample)
    except TooSlow:
        raise too_slow(rule["condition"], seconds) from None
    return {
        **asdict(told),
        "as_of": members.as_of,
        "exact": members.exact,
        "share": told.share,
        "would_add": told.added,
        "would_remove": told.removed,
        "wecom_calls": told.calls,
        "wecom_seconds": calls_take(told.calls),
        "sample": sample,
        "samples": samples,
        "words": {"zh": words(rule["condition"], "zh"), "en": words(rule["condition"], "en")},
    }


def rule_text(rule: Mapping[str, Any]) -> RuleText:
    """A rule as it was given, saved or not."""
    return RuleText(
        rule.get("rule_id") or NO_RULE,
        0,
        dict(rule["condition"]),
        rule["add_tag_ids"],
        rule["remove_tag_ids"],
        rule["keep"],
    )


def newest(customer_ids: BitMap64, most: int) -> list[int]:
    """The largest of them, largest first."""
    begin = max(0, len(customer_ids) - most)
    return list(customer_ids[begin:])[::-1] if customer_ids else []


def leaf_answers(actor: Actor, tree: Mapping[str, Any], customer_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Every leaf's words, answer and value, as the actor may read them, for each of these customers, in the order given."""
    node = parse_tree(tree)
    leaves = list(node.leaves())
    if not customer_ids or not leaves:
        return []
    veil = Veil(actor, node)
    said = leaf_words(node, veil.hidden)
    told: list[dict[str, Any]] = [{"path": each.path, "words": said[each.path]} for _, each in leaves]
    columns = leaf_columns(leaves, utcnow(), actor.scope)
    rows = session().execute(select(Customer.id, *columns).where(is_one_of(Customer.id, customer_ids)))
    found = {row.id: row for row in rows}
    return [
        {
            "customer_id": id_,
            "leaves": [
                {**leaf, "holds": veil.holds(leaf["path"], holds), "value": veil.shown(leaf["path"], value)}
                for leaf, holds, value in zip(told, found[id_].holds, found[id_].shown, strict=True)
            ],
        }
        for id_ in customer_ids
    ]
