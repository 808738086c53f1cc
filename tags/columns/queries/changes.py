"""What the copy in columns has missed: read from the changes that triggers note (migration 0011)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from pyroaring import BitMap64
from sqlalchemy import ARRAY, BigInteger, bindparam, text

from scrm.kernel.db import session
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.base import BASE
from tags.columns.service.shelf import Source

MOST_CHANGES = 5_000
MOST_PERSONS = 5_000  # asking so many again in SQL takes about as long as asking the copy for everybody


@dataclass(frozen=True)
class Change:
    """Rows of these persons changed in these months; None: of more persons than were asked for."""

    xid: int
    source: Source
    months: Sequence[date]
    person_ids: Sequence[int] | None


@dataclass(frozen=True)
class Look:
    """A moment, and the changes up to it.

    :param base: the database's own key
    :param below: changes of transactions with smaller numbers are forgotten
    :param detached: months of events that are out of the table
    :param cut: there are more changes than were asked for
    """

    snapshot: Snapshot
    base: str
    below: int
    detached: frozenset[date]
    changes: Sequence[Change]
    cut: bool

    def knows_since(self, old: Snapshot) -> bool:
        """Whether every change since ``old`` is among these; not for a snapshot of a database that was set back."""
        return not self.cut and old.xmin >= self.below and old.xmax <= self.snapshot.xmax


_LOOK = text(f"""
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, {BASE} AS base, b.below,
  ARRAY(SELECT begins_at FROM detached_months WHERE table_name = :events) AS detached,
  c.xid, c.source, c.months, CASE WHEN c.until <= :persons THEN c.person_ids END AS person_ids
FROM column_base b LEFT JOIN
  (SELECT xid, source, months, person_ids, sum(cardinality(person_ids)) OVER (ORDER BY xid, id) AS until
   FROM column_changes WHERE xid >= :since AND source = ANY(:sources) ORDER BY xid, id LIMIT :most) AS c ON true
""")  # noqa: S608  # a constant


def look(since: Snapshot, sources: Collection[Source]) -> Look | None:
    """The present moment and what changed in some sources since a snapshot, in one statement; None: nothing is noted."""
    values = {"events": Source.EVENTS, "persons": MOST_PERSONS, "since": since.xmin, "most": MOST_CHANGES + 1}
    rows = session().execute(_LOOK, {**values, "sources": sorted(sources)}).all()
    if not rows:
        return None
    first = rows[0]
    changes = [
        Change(row.xid, Source(row.source), row.months, row.person_ids) for row in rows if row.xid is not None
    ]
    return Look(
        Snapshot.parse(first.snapshot),
        first.base,
        first.below,
        frozenset(begins.astimezone(UTC).date() for begins in first.detached),
        changes[:MOST_CHANGES],
        len(changes) > MOST_CHANGES,
    )


def customers_of_changed(person_ids: Iterable[int], seen: Snapshot) -> BitMap64 | None:
    """The customers of persons, and of those who got or lost customers since ``seen``; None: of too many to list.

    In one statement: whoever left a person meanwhile is among the customers of another one.
    """
    values = {"persons": list(person_ids), "seen": str(seen), "xmin": seen.xmin}
    ids = session().scalars(_CUSTOMERS, values).all()
    return None if None in ids else BitMap64(ids)


_CUSTOMERS = text(f"""
WITH moved AS MATERIALIZED (
  SELECT person_ids FROM column_changes WHERE source = '{Source.PEOPLE}' AND xid >= :xmin
    AND NOT pg_visible_in_snapshot(CAST(CAST(xid AS text) AS xid8), CAST(:seen AS pg_snapshot))),
persons AS (SELECT unnest(:persons) AS person_id UNION SELECT unnest(person_ids) FROM moved)
SELECT c.customer_id FROM persons p JOIN customer_people c ON c.person_id = p.person_id
UNION ALL SELECT NULL FROM moved WHERE person_ids IS NULL
""").bindparams(bindparam("persons", type_=ARRAY(BigInteger)))  # noqa: S608  # a constant
