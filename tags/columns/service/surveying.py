"""Looking over the copy in one snapshot: what it lacks, what changed since, and what is as right now as it was then."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import text

from scrm.behaviour.models import BehaviourEvent
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.detaching import closed_months
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.base import BASE
from tags.columns.queries.missed import Missed, missed, months_changed
from tags.columns.queries.months import months_with_rows
from tags.columns.service.pieces import Part, part_of
from tags.columns.service.shelf import Chunk, Copy, Source, folder, read_copy
from tags.columns.service.taking import is_otherwise_typed, registered_types

MONTHLY = (Source.EVENTS, Source.ORDERS)


@dataclass(frozen=True)
class Stale:
    """A chunk to be written again.

    :param missed: None: nothing
    :param is_otherwise_typed: its event types have other properties than they had
    """

    chunk: Chunk
    missed: Missed | None
    is_otherwise_typed: bool

    @property
    def part(self) -> Part:
        """What is to be written; what was there is of use unless it lacks columns."""
        return part_of(self.chunk, anew=self.is_otherwise_typed)


@dataclass(frozen=True)
class Survey:
    """What was found.

    :param copy: brought as near to the present as it can be without writing files
    :param absent: what has no chunk, or one of no use, the newest month first
    :param stale: chunks of use that are not as the rows are now
    """

    copy: Copy
    absent: list[Part]
    stale: list[Stale]


@dataclass(frozen=True)
class _Moment:
    """The database as it is: its key, its snapshot, which changes are forgotten, which months are out of the table."""

    as_of: datetime
    snapshot: Snapshot
    base: str
    below: int
    detached: frozenset[date]

    def knows_since(self, old: Snapshot) -> bool:
        """Whether every change since ``old`` is noted; not for a snapshot of a database that was set back."""
        return self.snapshot.knows_since(old, self.below)


def survey() -> Survey:
    """Look the copy over; needs a REPEATABLE READ transaction that has not read anything yet."""
    now = _moment()
    copy = _with_these_months(_copy_of(now), now)
    found = missed(copy.chunks)
    spoiled = {each.file for each in copy.chunks if not _is_usable(each, now)}
    absent = {part_of(each, anew=True) for each in copy.chunks if each.file in spoiled}
    if not copy.of(Source.PEOPLE):
        absent.add(Part(Source.PEOPLE, None))
    since: dict[Source, Snapshot] = dict(copy.since)
    gone: set[str] = set()
    for source in MONTHLY:
        lacking, empty = _months(source, copy, found.keys() | spoiled, now)
        absent |= {Part(source, month) for month in lacking}
        if not lacking:
            since[source] = now.snapshot
            gone |= empty
    chunks = [each for each in copy.chunks if each.file not in gone]
    types = registered_types()
    usable = [each for each in chunks if each.file not in spoiled]
    stale = [Stale(each, found.get(each.file), is_otherwise_typed(each, types)) for each in usable]
    stale = [each for each in stale if each.missed or each.is_otherwise_typed]
    kept = [each if each.file in spoiled | found.keys() else _moved_on(each, now) for each in chunks]
    newest_first = sorted(absent, key=lambda part: part.month or date.max, reverse=True)
    copy = replace(copy, since=since, chunks=tuple(kept), drafts=_usable_drafts(copy, now))
    return Survey(copy, newest_first, stale)


def _moment() -> _Moment:
    """The lock comes before the snapshot, so that no month is detached in between."""
    as_of = utcnow()
    session().execute(text("LOCK TABLE behaviour_events IN ACCESS SHARE MODE"))
    row = session().execute(_NOW).one()
    detached = frozenset(closed_months(BehaviourEvent.__tablename__))
    return _Moment(as_of, Snapshot.parse(row.snapshot), row.base, row.below, detached)


_NOW = text(f"""
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, {BASE} AS base, below FROM column_base
""")  # noqa: S608  # a constant


def _copy_of(now: _Moment) -> Copy:
    """What is on the list; nothing if it is of another database or of other days."""
    zone, copy = settings().corp.timezone, read_copy()
    if copy is not None and (copy.base, copy.zone) == (now.base, zone):
        return copy
    return Copy(now.base, zone, {}, now.detached, ())


def _with_these_months(copy: Copy, now: _Moment) -> Copy:
    """Without the chunks of months that were detached or attached since: what has rows of them is found anew."""
    if copy.detached == now.detached:
        return copy
    moved = copy.detached ^ now.detached
    chunks = [each for each in copy.chunks if each.source is not Source.EVENTS or each.month not in moved]
    since = dict(copy.since)
    since.pop(Source.EVENTS, None)
    drafts = [each for each in copy.drafts if each.source is not Source.EVENTS or each.month not in moved]
    return replace(copy, since=since, detached=now.detached, chunks=tuple(chunks), drafts=tuple(drafts))


def _usable_drafts(copy: Copy, now: _Moment) -> tuple[Chunk, ...]:
    """Without those of months of which one is of no use any more: they are begun anew."""
    lost = {(each.source, each.month) for each in copy.drafts if not _is_usable(each, now)}
    return tuple(each for each in copy.drafts if (each.source, each.month) not in lost)


def _is_usable(chunk: Chunk, now: _Moment) -> bool:
    return now.knows_since(chunk.snapshot) and (folder() / chunk.file).exists()


def _months(source: Source, copy: Copy, doubtful: Container[str], now: _Moment) -> tuple[set[date], set[str]]:
    """Months that may have rows and have no chunk; and files of months that have no rows any more."""
    chunks = copy.of(source)
    held = {each.month for each in chunks if each.month}
    since = copy.since.get(source)
    known = since is not None and now.knows_since(since)
    filled = months_changed(source, since) if since and known else months_with_rows(source)
    there = {each.month for each in chunks if each.rows or each.file in doubtful}
    return filled - held, {each.file for each in chunks if each.month not in there}


def _moved_on(chunk: Chunk, now: _Moment) -> Chunk:
    """The same rows are right for a later moment: nothing of them changed."""
    return replace(chunk, snapshot=now.snapshot, as_of=now.as_of)
