"""How audiences overlap: pair by pair, and what each has alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from operator import and_, or_
from typing import Any

from pyroaring import BitMap64

from scrm.audiences.queries.audiences import audience_by_id
from scrm.audiences.queries.sets import audience_members
from scrm.kernel.permissions import Scope


def audience_overlap(scope: Scope, audience_ids: Sequence[int]) -> dict[str, Any]:
    """Counts of the customers of a scope in each audience, in each alone, in each pair, in all and in any.

    Of a pair ``jaccard`` is what both have divided by what either has (0 when both are empty), ``of_first`` and
    ``of_second`` what both have divided by one of them.

    :raises NotFound: for the first audience that does not exist
    """
    found = {id_: audience_members(id_, scope) for id_ in audience_ids}
    sets = {id_: each.ids for id_, each in found.items()}
    names = {id_: audience_by_id(id_).name for id_ in audience_ids}
    return {
        "as_of": min(each.as_of for each in found.values()),
        "audiences": [
            {"id": id_, "name": names[id_], "count": len(sets[id_]), "alone": _alone(sets, id_)}
            for id_ in sets
        ],
        "pairs": [_pair(first, second, sets[first], sets[second]) for first, second in combinations(sets, 2)],
        "in_all": len(reduce(and_, sets.values())),
        "in_any": len(reduce(or_, sets.values())),
    }


def _alone(sets: dict[int, BitMap64], id_: int) -> int:
    others = [ids for other, ids in sets.items() if other != id_]
    return len(sets[id_] - reduce(or_, others))


def _pair(first: int, second: int, one: BitMap64, other: BitMap64) -> dict[str, Any]:
    both = one.intersection_cardinality(other)
    return {
        "first": first,
        "second": second,
        "both": both,
        "jaccard": _share(both, len(one) + len(other) - both),
        "of_first": _share(both, len(one)),
        "of_second": _share(both, len(other)),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
