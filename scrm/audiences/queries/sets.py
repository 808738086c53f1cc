"""Who belongs, as sets: fast, at most as old as they say, and never slower than a preview may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from scrm.audiences.queries.audiences import audience_by_id, tree_of
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from tags.rules.costs import too_slow
from tags.rules.service.bounds import TooSlow, bounded
from tags.sets.service.counting import SetCount, SetMembers, count_tree, members_of_tree

Tree = Mapping[str, Any]
T = TypeVar("T")


def in_time(tree: Tree, question: Callable[[], T]) -> T:
    """The answer to a question about a condition; raises ConditionTooSlow after ``[rules] preview_seconds``."""
    seconds = settings().rules.preview_seconds
    try:
        with bounded(seconds):
            return question()
    except TooSlow:
        raise too_slow(tree, seconds) from None


def count_of(tree: Tree, scope: Scope) -> SetCount:
    """How many customers of a scope a condition holds for."""
    return in_time(tree, lambda: count_tree(tree, scope))


def members_of(tree: Tree, scope: Scope) -> SetMembers:
    """The customers of a scope for whom a condition holds."""
    return in_time(tree, lambda: members_of_tree(tree, scope))


def audience_members(audience_id: int, scope: Scope) -> SetMembers:
    """The customers of a scope who belong to an audience; raises NotFound."""
    return members_of(tree_of(audience_by_id(audience_id)), scope)
