"""The sets that a question needs, as fresh as it wants them: from memory, from Redis, brought up to date, or asked anew."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyroaring import BitMap64

from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.settings import settings
from tags.sets.queries.changes import Look, look
from tags.sets.service import backing, store
from tags.sets.service.following import is_followed
from tags.sets.service.keeping import asked_within, brought_up, parts
from tags.sets.service.memory import KeptSet, Memory, memory
from tags.sets.service.watching import moves_with_time

SOON = 1_000  # so many changed customers are asked again at once, however fresh the set is
MANY = 20_000  # with more, asking for the whole set is quicker
CHANGES = 2_000  # noted changes that are read for the sake of a set that is fresh enough
TELL_SECONDS = 10.0


@dataclass(frozen=True)
class Current:
    """Sets for one question.

    :param as_of: every change before this moment is in them
    :param exact: all of them were brought to the present while this was asked
    """

    sets: Mapping[str, BitMap64]
    as_of: datetime
    exact: bool


class Uncommitted(Exception):  # noqa: N818  # reads as a statement where it is caught
    """The asking transaction has written something: only SQL can tell it what it would see."""


def current_sets(keys: Collection[str], seconds: float, *, fresh: bool = False) -> Current:
    """The sets of these keys, at most ``[sets] staleness_seconds`` old.

    :param seconds: what asking for missing sets may take together
    :param fresh: all of the present moment
    :raises Uncommitted: the running transaction has written
    :raises TooSlow: PostgreSQL was stopped; what it had answered by then is kept
    """
    shelf, until = memory(), time.monotonic() + seconds
    wanted = set(keys)
    stale = timedelta(0) if fresh else timedelta(seconds=settings().sets.staleness_seconds)
    question = _Question(shelf, stale)
    left = question.take(wanted)
    if left:
        with shelf.alone(left, max(0.0, until - time.monotonic())):
            left = question.take(left) if shelf.get(left).keys() & left else left
            question.ask(left, until)
    if used := shelf.take_used(wanted, TELL_SECONDS):
        store.tell_used(used)
    return question.answer(wanted)


class _Question:
    def __init__(self, shelf: Memory, stale: timedelta) -> None:
        self._shelf = shelf
        self._stale = stale
        self._found: dict[str, KeptSet] = {}
        self._moments: set[tuple[str, datetime]] = set()

    def take(self, keys: Collection[str]) -> set[str]:
        """Find what memory and Redis have and bring it up to date; keys that must be asked as a whole are left."""
        held = self._held(keys)
        kept = {key: each for key, each in held.items() if is_followed(key)}
        now = utcnow()
        seen = look([each.snapshot for each in kept.values()], CHANGES)
        if seen.writing:
            raise Uncommitted
        if seen.cut and any(now - each.as_of > self._stale for each in kept.values()):
            now = utcnow()
            seen = look([each.snapshot for each in kept.values()])
        self._moments.add((str(seen.snapshot), now))
        self._bring_up(kept, seen, now)
        for key in held.keys() - self._found.keys():
            if abs(now - held[key].as_of) <= self._stale:  # somebody's clock may be ahead
                self._found[key] = held[key]
        metrics.SETS_USED.labels("kept").inc(len(self._found.keys() & set(keys)))
        return set(keys) - self._found.keys()

    def _held(self, keys: Collection[str]) -> dict[str, KeptSet]:
        """The newer of what memory and Redis have, else what PostgreSQL has; Redis is asked where memory's is too old."""
        held = self._shelf.get(keys)
        oldest = utcnow() - timedelta(seconds=settings().sets.staleness_seconds)
        lacking = [key for key in keys if key not in held or held[key].as_of < oldest]
        loaded = store.load(lacking)
        newer = {key: each for key, each in loaded.items() if key not in held or held[key].as_of < each.as_of}
        backed = backing.load({*lacking} - held.keys() - newer.keys())
        store.save(backed)
        newer |= backed
        self._shelf.put(newer)
        return {**held, **newer}

    def _bring_up(self, kept: Mapping[str, KeptSet], seen: Look, now: datetime) -> None:
        """Old sets whatever it takes; fresh ones where it is quickly done, so that most answers are of this moment."""
        old = {key: each for key, each in kept.items() if now - each.as_of > self._stale}
        young = {key: each for key, each in kept.items() if key not in old and not moves_with_time(key)}
        for some, most in ((old, MANY), (young, SOON)):
            done = brought_up(some, seen, now, most)
            self._keep(done.renewed | done.patched)
            store.save(done.patched)

    def _keep(self, sets: Mapping[str, KeptSet]) -> None:
        self._shelf.put(sets)
        self._found |= sets

    def ask(self, keys: Collection[str], until: float) -> None:
        """Ask PostgreSQL for whole sets, within what is left of the time."""
        if not keys:
            return
        now = utcnow()
        seen = look()
        started = time.monotonic()
        for some in parts(keys):
            found = asked_within(some, now, max(0.001, until - time.monotonic()))
            made = {key: KeptSet(bits, seen.snapshot, now) for key, bits in found.items()}
            reached("sets_asked")
            self._keep(made)
            store.save(made)
        self._moments.add((str(seen.snapshot), now))
        metrics.SETS_USED.labels("asked").inc(len(keys))
        metrics.SETS_ASK_SECONDS.observe(time.monotonic() - started)

    def answer(self, keys: Collection[str]) -> Current:
        """What was found."""
        sets = {key: self._found[key] for key in keys}
        as_of = min((each.as_of for each in sets.values()), default=utcnow())
        exact = all(self._is_of_now(key, each) for key, each in sets.items())
        return Current({key: each.bits for key, each in sets.items()}, as_of, exact)

    def _is_of_now(self, key: str, each: KeptSet) -> bool:
        """Nothing was written since its snapshot; nor did it grow old meanwhile, if the clock can change it."""
        if moves_with_time(key):
            return (str(each.snapshot), each.as_of) in self._moments
        return str(each.snapshot) in {snapshot for snapshot, _ in self._moments}
