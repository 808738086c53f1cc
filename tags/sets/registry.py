"""What packages further up may put in: kinds of leaves that stand for trees of their own, such as audiences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Raw = Mapping[str, Any]
Expansion = Callable[[Raw], Raw | None]
EXPANSIONS: dict[str, Expansion] = {}
SOURCES: dict[str, frozenset[str]] = {}


def expand_leaf(kind: str, expansion: Expansion, sources: frozenset[str]) -> None:
    """Let ``expansion`` say what a leaf of this kind stands for now, whenever one is counted.

    :param expansion: the leaf → a tree of the present version, without ``schema_version``; or None: the leaf stands for
        itself
    :param sources: what such a leaf that stands for itself reads: tables whose changes are noted
        (:data:`tags.sets.service.watching.WATCHED`)
    """
    EXPANSIONS[kind] = expansion
    SOURCES[kind] = sources
