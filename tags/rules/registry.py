"""What packages further up may put in: kinds of leaves about rows of their own, such as audiences."""

from __future__ import annotations

from tags.rules import leaves
from tags.rules.condition_schema import condition_schema
from tags.rules.leaves import Leaf


def contribute_leaf(leaf: Leaf) -> None:
    """Make a kind of leaf known to the language; a second time changes nothing.

    The tables that its ``refers`` names stand in :data:`tags.rules.references.CALLED`.
    """
    leaves.CONTRIBUTED[leaf.kind] = leaf
    leaves.leaves.cache_clear()
    condition_schema.cache_clear()
