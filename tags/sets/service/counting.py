"""How many customers a condition holds for, and which: by sets, where SQL would take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyroaring import BitMap64

from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Scope
from tags.sets.service.algebra import evaluated, selected
from tags.sets.service.asking import customers_where, held_tag_sets, leaf_set
from tags.sets.service.normal_form import set_tree


@dataclass(frozen=True)
class SetCount:
    """An answer.

    :param as_of: nothing that happened before this moment is missing in it
    :param exact: it is the answer of one moment, not put together from sets of several
    """

    count: int
    as_of: datetime
    exact: bool


@dataclass(frozen=True)
class SetMembers:
    """The customers themselves, as a bitmap of the caller's own."""

    ids: BitMap64
    as_of: datetime
    exact: bool = True


def count_tree(tree: Mapping[str, Any], scope: Scope) -> SetCount:
    """How many customers of a scope a condition holds for.

    :raises InvalidInput: the condition is malformed
    """
    found = members_of_tree(tree, scope)
    return SetCount(len(found.ids), found.as_of, found.exact)


def members_of_tree(tree: Mapping[str, Any], scope: Scope) -> SetMembers:
    """The customers of a scope for whom a condition holds.

    :raises InvalidInput: the condition is malformed
    """
    now = utcnow()
    node = set_tree(tree)
    sets = {key: leaf_set(key, now) for key in set(node.keys())}
    return SetMembers(selected(evaluated(node, sets), customers_where(visible(scope))), now)


def tag_sets(scope: Scope) -> dict[int, BitMap64]:
    """Tag → the customers of a scope who have it; tags that nobody there has are left out."""
    seen = customers_where(visible(scope))
    found = {tag_id: bits & seen for tag_id, bits in held_tag_sets().items()}
    return {tag_id: bits for tag_id, bits in found.items() if bits}
