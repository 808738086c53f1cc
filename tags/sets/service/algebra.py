"""Set algebra over bitmaps of customer ids, in which a complement is never written out before the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyroaring import BitMap64

from tags.sets.service.normal_form import SetNode


@dataclass(frozen=True)
class Part:
    """Some customers, or everybody but them."""

    bits: BitMap64
    but: bool = False


def evaluated(node: SetNode, sets: Mapping[str, BitMap64]) -> Part:
    """What the tree holds for.

    :param sets: set of every key of the tree; none of them is changed
    """
    if node.op == "leaf":
        return Part(sets[node.key])
    parts = [evaluated(child, sets) for child in node.children]  # of an empty "any": nobody, as one would say
    if node.op == "not":
        return Part(parts[0].bits, not parts[0].but)
    return _all(parts) if node.op == "all" else _opposite(_all([_opposite(part) for part in parts]))


def counted(part: Part, everybody: BitMap64) -> int:
    """How many they are."""
    return len(everybody) - everybody.intersection_cardinality(part.bits) if part.but else len(part.bits)


def selected(part: Part, everybody: BitMap64) -> BitMap64:
    """The customers themselves, as a bitmap of the caller's own."""
    return everybody - part.bits if part.but else part.bits.copy()


def _opposite(part: Part) -> Part:
    return Part(part.bits, not part.but)


def _all(parts: Sequence[Part]) -> Part:
    """In all of them: what is in every plain one and in no complement; De Morgan where there are complements only."""
    wanted = sorted((part.bits for part in parts if not part.but), key=len)
    unwanted = [part.bits for part in parts if part.but]
    if not wanted:
        return Part(_union(unwanted), but=True)
    found = wanted[0]
    for bits in wanted[1:]:
        found = found & bits
    for bits in unwanted:
        found = found - bits
    return Part(found)


def _union(sets: Sequence[BitMap64]) -> BitMap64:
    return BitMap64.union(*sets) if len(sets) > 1 else (sets[0] if sets else BitMap64())
