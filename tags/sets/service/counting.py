"""How many customers a condition holds for, and which: by sets, where SQL would take seconds (docs/adr/0014-sets.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import and_, func, select

from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from tags.rules.compiler import compile_condition
from tags.rules.costs import too_slow
from tags.rules.service.bounds import TooSlow, bounded
from tags.sets.service.algebra import Part, counted, evaluated, selected
from tags.sets.service.asking import STAFF, TAGS, customers_where
from tags.sets.service.current import Uncommitted, current_sets
from tags.sets.service.keeping import asked
from tags.sets.service.normal_form import SetNode, set_tree
from tags.sets.service.watching import EVERYBODY

EVERYONE = SetNode("leaf", key=EVERYBODY)


@dataclass(frozen=True)
class SetCount:
    """An answer.

    :param base: customers there are in the scope
    :param as_of: nothing that happened before this moment is missing in it; never older than ``[sets] staleness_seconds``
    :param exact: it is what SQL would have said while it was asked
    """

    count: int
    base: int
    as_of: datetime
    exact: bool


@dataclass(frozen=True)
class SetMembers:
    """The customers themselves, as a bitmap of the caller's own; the rest as in :class:`SetCount`."""

    ids: BitMap64
    base: int
    as_of: datetime
    exact: bool


def count_tree(
    tree: Mapping[str, Any], scope: Scope, *, fresh: bool = False, seconds: float | None = None
) -> SetCount:
    """How many customers of a scope a condition holds for.

    A transaction that has written something itself is answered by SQL, as only it sees what it wrote.

    :param fresh: of this very moment, not of the last ``[sets] staleness_seconds``
    :param seconds: how long asking for what is not known yet may take; by default ``[rules] preview_seconds``
    :raises InvalidInput: the condition is malformed
    :raises ConditionTooSlow: it took longer; names the leaf that costs most. Sets that were ready are kept, so that the
        same question gets further the next time
    """
    found = _answered(tree, scope, fresh, seconds)
    if isinstance(found, SetMembers):
        return SetCount(len(found.ids), found.base, found.as_of, found.exact)
    return SetCount(counted(found.part, found.everybody), found.base, found.as_of, found.exact)


def members_of_tree(
    tree: Mapping[str, Any], scope: Scope, *, fresh: bool = False, seconds: float | None = None
) -> SetMembers:
    """The customers of a scope for whom a condition holds; parameters and errors as for :func:`count_tree`."""
    found = _answered(tree, scope, fresh, seconds)
    if isinstance(found, SetMembers):
        return found
    return SetMembers(selected(found.part, found.everybody), found.base, found.as_of, found.exact)


@dataclass(frozen=True)
class _Answer:
    part: Part
    everybody: BitMap64
    base: int
    as_of: datetime
    exact: bool


def _answered(
    tree: Mapping[str, Any], scope: Scope, fresh: bool, seconds: float | None
) -> _Answer | SetMembers:
    limit = seconds or settings().rules.preview_seconds
    node, seen = _scoped(set_tree(tree), scope), _scoped(EVERYONE, scope)
    try:
        found = current_sets({*node.keys(), *seen.keys()}, limit, fresh=fresh)
    except Uncommitted:
        return _by_sql(tree, scope, limit)
    except TooSlow:
        raise too_slow(tree, limit) from None
    everybody = found.sets[EVERYBODY]
    base = counted(evaluated(seen, found.sets), everybody)
    return _Answer(evaluated(node, found.sets), everybody, base, found.as_of, found.exact)


def tag_sets(scope: Scope) -> dict[int, BitMap64]:
    """Tag → the customers of a scope who have it; tags that nobody there has are left out.

    :raises TooSlow: asking for what is not known yet took longer than ``[rules] preview_seconds``
    """
    keys = {tag_id: TAGS.key(tag_id) for tag_id in TAGS.ids()}
    seen = _scoped(EVERYONE, scope)
    wanted = {*keys.values(), *seen.keys()}
    try:
        sets = current_sets(wanted, settings().rules.preview_seconds).sets
    except Uncommitted:
        sets = asked(wanted, utcnow())
    among = evaluated(seen, sets).bits
    found = {tag_id: sets[key] & among for tag_id, key in keys.items()}
    return {tag_id: bits for tag_id, bits in found.items() if bits}


def _scoped(node: SetNode, scope: Scope) -> SetNode:
    """The node within a scope: those followed by one of its staff."""
    if scope.everyone:
        return node
    followed = tuple(SetNode("leaf", key=STAFF.key(staff_id)) for staff_id in sorted(scope.staff_ids))
    return SetNode("all", (node, SetNode("any", followed)))


def _by_sql(tree: Mapping[str, Any], scope: Scope, seconds: float) -> SetMembers:
    now = utcnow()
    metrics.SETS_USED.labels("sql").inc()
    try:
        with bounded(seconds):
            ids = customers_where(and_(compile_condition(tree, now=now, everybody=True), visible(scope)))
            base = session().scalar(select(func.count()).select_from(Customer).where(visible(scope))) or 0
    except TooSlow:
        raise too_slow(tree, seconds) from None
    return SetMembers(ids, base, now, exact=True)
