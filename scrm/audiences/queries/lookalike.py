"""What the members of an audience have in common: tags that are more frequent there than among everybody.

For a tag, ``a`` members of the audience have it of ``n`` there are, and ``t`` customers of ``N``:

* lift = (a / n) / (t / N): how many times as frequent;
* the likelihood-ratio statistic of the two by two table (in the audience or not, with the tag or not),
  G² = 2 Σ observed · ln(observed / expected), which unlike χ² also holds for rare tags (Dunning, "Accurate Methods for
  the Statistics of Surprise and Coincidence", Computational Linguistics 19(1), 1993);
* p, its tail in the χ² distribution with one degree of freedom, erfc(√(G²/2));
* q, p corrected for the number of tags looked at (Benjamini and Hochberg, "Controlling the False Discovery Rate",
  J. R. Statist. Soc. B 57(1), 1995): among the tags with q ≤ 0.05 at most one in twenty is expected to be chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.audiences.queries.sets import in_time, members_of
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from tags.arrays import is_one_of
from tags.models import Tag, TagGroup
from tags.rules.compiler import condition_reads
from tags.sets.service.counting import tag_sets

SIGNIFICANT = 0.05  # largest q that is told as significant


@dataclass(frozen=True)
class Excess:
    """How a tag stands in an audience against everybody.

    :param support: members of the audience who have it; ``base_support`` customers who do
    :param base: customers there are, at least those whom the sets know
    """

    tag_id: int
    support: int
    base_support: int
    base: int
    lift: float
    g2: float
    p: float


def frequent_tags(scope: Scope, audience_id: int, min_support: int, limit: int) -> dict[str, Any]:
    """Tags that are over-represented among the members in a scope, significant ones first, then by lift.

    :param min_support: members who must have a tag for it to be looked at
    :raises NotFound: no such audience
    """
    tree = tree_of(audience_by_id(audience_id))
    found = members_of(tree, scope)
    sets = in_time(tree, lambda: tag_sets(scope))
    base = session().scalar(select(func.count()).select_from(Customer).where(visible(scope))) or 0
    pairs = {tag_id: (found.ids.intersection_cardinality(ids), len(ids)) for tag_id, ids in sets.items()}
    tested = [
        excess(tag_id, (both, len(found.ids)), (having, base))
        for tag_id, (both, having) in pairs.items()
        if both >= min_support
    ]
    corrected = dict(
        zip((each.tag_id for each in tested), false_discovery([e.p for e in tested]), strict=True)
    )
    named = _names(corrected)
    defining = {fact for fact in condition_reads(tree) if fact.startswith("tag:")}
    items = [
        {
            **named[each.tag_id],
            "support": each.support,
            "share": each.support / len(found.ids),
            "base_support": each.base_support,
            "base_share": each.base_support / each.base,
            "lift": each.lift,
            "g2": each.g2,
            "p": each.p,
            "q": corrected[each.tag_id],
            "significant": corrected[each.tag_id] <= SIGNIFICANT,
            "defining": f"tag:{each.tag_id}" in defining,
        }
        for each in tested
        if each.lift > 1 and each.tag_id in named
    ]
    items.sort(key=lambda item: (not item["significant"], -item["lift"], item["q"], item["tag_id"]))
    return {
        "as_of": found.as_of,
        "count": len(found.ids),
        "base": base,
        "tested": len(tested),
        "items": items[:limit],
    }


def excess(tag_id: int, audience: tuple[int, int], everybody: tuple[int, int]) -> Excess:
    """Lift and significance of one tag.

    :param audience: (members who have it, members); ``everybody`` the same of all customers, those members among them
    """
    (support, members), (having, base) = audience, everybody
    rest = having - support
    base = max(base, members + rest)  # sets may be seconds older than the count of everybody
    others = base - members
    table = [[support, members - support], [rest, others - rest]]
    g2 = likelihood_ratio(table)
    lift = (support / members) / (having / base)
    return Excess(tag_id, support, having, base, lift, g2, math.erfc(math.sqrt(g2 / 2)))


def likelihood_ratio(table: Sequence[Sequence[int]]) -> float:
    """G² of a table of counts; cells without anything add nothing."""
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    whole = sum(rows)
    terms = (
        observed * math.log(observed * whole / (rows[i] * columns[j]))
        for i, row in enumerate(table)
        for j, observed in enumerate(row)
        if observed > 0
    )
    return max(0.0, 2 * math.fsum(terms))


def false_discovery(ps: Sequence[float]) -> list[float]:
    """q of each p, in the same order: p · m / rank, made monotone from the largest p down."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found, least = [0.0] * len(ps), 1.0
    for rank in range(len(order), 0, -1):
        least = min(least, ps[order[rank - 1]] * len(ps) / rank)
        found[order[rank - 1]] = least
    return found


def _names(tag_ids: Iterable[int]) -> Mapping[int, dict[str, Any]]:
    """Names of the tags that are not deleted, and of their groups."""
    rows = session().execute(
        select(Tag.id, Tag.name, TagGroup.id.label("group_id"), TagGroup.name.label("group"))
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(is_one_of(Tag.id, tag_ids), Tag.deleted_at.is_(None))
    )
    return {
        row.id: {"tag_id": row.id, "tag": row.name, "group_id": row.group_id, "group": row.group}
        for row in rows
    }
