"""Bringing sets to the present: what changed since a set's snapshot is asked again, and nothing else.

A set is right for its snapshot. Of the customers who changed after it (``set_changes``), and of those whose answer the clock
changed, the leaf is asked again; the set then is right for the newer snapshot. Whom a later transaction changes between the
look at the changes and the asking is asked again the next time, so that no order of commits can leave anything out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap64

from scrm.kernel.db import session
from scrm.kernel.snapshots import Snapshot
from scrm.people.queries.fields import field_specs
from tags.rules.fields import PERSON
from tags.rules.service.bounds import bounded
from tags.sets.queries.changes import Change, Look, customers_of_persons
from tags.sets.service.asking import (
    Family,
    copied_set,
    family_of,
    family_sets,
    leaf_sets_among,
    sql_set,
)
from tags.sets.service.domains import Domain, domain_of, domain_sets
from tags.sets.service.following import BESIDE, Rows, customers_changed, rows_of
from tags.sets.service.memory import KeptSet
from tags.sets.service.watching import WATCHED, Reach, moves_with_time, sources_of, turned_by_time


@dataclass
class Progress:
    """Sets brought to the present.

    :param renewed: nothing of them changed
    :param patched: some customers were asked again
    :param left: what has to be asked as a whole
    """

    renewed: dict[str, KeptSet] = field(default_factory=dict)
    patched: dict[str, KeptSet] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)


def brought_up(held: Mapping[str, KeptSet], seen: Look, now: datetime, most: int) -> Progress:
    """Bring sets to the moment of a look.

    :param now: a moment just before the look
    :param most: with more changed customers than this a set is left to be asked as a whole
    """
    done = Progress()
    patches: dict[_Who, list[str]] = defaultdict(list)
    touched = _Touched(seen)
    for key, each in held.items():
        changed = touched.customers(key, each, now)
        if changed is None or len(changed) > most:
            done.left.add(key)
        elif changed:
            patches[_Who(changed)].append(key)
        else:
            done.renewed[key] = KeptSet(each.bits, seen.snapshot, now)
    for who, keys in patches.items():
        for key, answer in _asked_again(keys, who.bits, now).items():
            bits = (held[key].bits - who.bits) | answer
            done.patched[key] = KeptSet(bits, seen.snapshot, now)
    return done


class _Who:
    """Customers as the key of a dictionary: leaves that the same customers touched are asked together."""

    def __init__(self, bits: BitMap64) -> None:
        self.bits = bits
        self._bytes = bits.serialize()

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Who) and self._bytes == other._bytes


class _Touched:
    """Who changed, found out once for all leaves that read the same."""

    def __init__(self, seen: Look) -> None:
        self._seen = seen
        self._known: dict[tuple[str, frozenset[str], Rows | None], BitMap64 | None] = {}

    def customers(self, key: str, each: KeptSet, now: datetime) -> BitMap64 | None:
        """Who must be asked again for this leaf; None: everybody."""
        sources, rows = sources_of(key), None
        if sources is None:
            sources, rows = BESIDE, rows_of(key)
            if rows is None:
                return None
        if not self._seen.knows_since(each.snapshot):
            return None
        place = (str(each.snapshot), sources, rows)
        if place not in self._known:
            self._known[place] = self._changed(each.snapshot, sources, rows)
        changed = self._known[place]
        if changed is None or not moves_with_time(key):
            return changed
        turned = turned_by_time(
            key, *sorted((each.as_of, now))
        )  # by a clock that is ahead, it may be of the future
        return changed if turned is None else changed | BitMap64(session().scalars(turned).all())

    def _changed(self, since: Snapshot, sources: frozenset[str], rows: Rows | None) -> BitMap64 | None:
        changed = _customers(self._seen.since(since, sources))
        if rows is None or changed is None:
            return changed
        others = customers_changed(rows, since)
        return None if others is None else changed | others


def _customers(changes: Sequence[Change]) -> BitMap64 | None:
    """Whom changes concern; None: anybody."""
    customers, persons = BitMap64(), BitMap64()
    for each in changes:
        if each.ids is None or WATCHED[each.source] is Reach.ANYBODY:
            return None
        (persons if WATCHED[each.source] is Reach.PERSONS else customers).update(each.ids)
    return customers | customers_of_persons(persons)


def _asked_again(keys: Collection[str], customer_ids: BitMap64, now: datetime) -> dict[str, BitMap64]:
    families = by_family(keys)
    alone = families.pop(None, [])
    found: dict[str, BitMap64] = {}
    for family, own in families.items():
        if isinstance(family, Family):
            found |= family_sets(family, own, customer_ids)
        elif family and len(own) > 1 and (together := domain_sets(family, own, customer_ids)) is not None:
            found |= {key: together[key] for key in own}
        else:
            alone += own
    return found | leaf_sets_among(alone, customer_ids, now)


def asked(keys: Collection[str], now: datetime) -> dict[str, BitMap64]:
    """Whole sets, asked of PostgreSQL now; of a field of few values those of all its values come along."""
    found: dict[str, BitMap64] = {}
    for family, own in by_family(keys).items():
        if isinstance(family, Family):
            found |= family_sets(family, own)
            continue
        together = domain_sets(family, own) if family else None
        found |= together if together is not None else {key: sql_set(key, now) for key in own}
    return found


def asked_within(keys: Collection[str], now: datetime, seconds: float) -> dict[str, BitMap64]:
    """Whole sets, asked now: of the copy in columns, where it can tell, else of PostgreSQL.

    :raises TooSlow: PostgreSQL took longer than so many seconds
    """
    if len(keys) == 1:
        (key,) = keys
        if (told := copied_set(key, now)) is not None:
            return {key: told}
    with bounded(seconds):
        return asked(keys, now)


def by_family(keys: Collection[str]) -> dict[Family | Domain | None, list[str]]:
    """Keys by what they are asked together with; None: nothing."""
    found: dict[Family | Domain | None, list[str]] = defaultdict(list)
    specs = field_specs() if any(f'"{PERSON}' in key for key in keys) else {}
    for key in keys:
        found[family_of(key) or domain_of(key, specs)].append(key)
    return found


def parts(keys: Collection[str]) -> list[list[str]]:
    """What is asked one after the other: what belongs together, other leaves alone."""
    return [
        part
        for family, own in by_family(keys).items()
        for part in ([own] if family else [[key] for key in own])
    ]
