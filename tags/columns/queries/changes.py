"""What the copy in columns has missed of what a question is about: read from the changes that triggers note (migration 0011)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from pyroaring import BitMap64
from sqlalchemy import ARRAY, BigInteger, Date, Text, bindparam, text

from scrm.kernel.db import session
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.base import BASE
from tags.columns.service.shelf import Chunk, Source

MOST_CHANGES = 5_000
MOST_PERSONS = 5_000  # asking so many again in SQL takes about as long as asking the copy for everybody
MOST_LISTED = 100_000  # in all changes together: telling the same ones apart takes 15 ms
ALWAYS = date.min  # the month of rows that have none


@dataclass(frozen=True)
class Stretch:
    """Months of a source that a question is about, both within.

    :param since: the snapshot that is right for those of them that have no chunk
    """

    source: Source
    first: date
    last: date
    since: Snapshot


@dataclass(frozen=True)
class Look:
    """A moment, and what had been missed by then.

    :param base: the database's own key
    :param below: changes of transactions with smaller numbers are forgotten
    :param detached: months of events that are out of the table
    :param person_ids: whose rows of these months changed; None: too many, or nobody knows whose
    """

    snapshot: Snapshot
    base: str
    below: int
    detached: frozenset[date]
    person_ids: Sequence[int] | None

    def knows_since(self, old: Snapshot) -> bool:
        """Whether every change since ``old`` is noted; not for a snapshot of a database that was set back."""
        return self.snapshot.knows_since(old, self.below)


_LOOK = text(f"""
WITH missed AS MATERIALIZED (
  SELECT c.xid, c.id, c.person_ids
  FROM column_changes c
  CROSS JOIN LATERAL unnest(CASE WHEN c.months = '{{}}' THEN ARRAY[CAST(:always AS date)] ELSE c.months END) AS m(month)
  JOIN unnest(:sources, :firsts, :lasts, CAST(:since AS pg_snapshot[])) AS s(source, first, last, since)
    ON s.source = c.source AND m.month BETWEEN s.first AND s.last
  LEFT JOIN unnest(:copied, :months, CAST(:snapshots AS pg_snapshot[])) AS k(source, month, snapshot)
    ON k.source = c.source AND k.month = m.month
  WHERE c.xid >= :xmin AND NOT pg_visible_in_snapshot(CAST(CAST(c.xid AS text) AS xid8), COALESCE(k.snapshot, s.since))
  LIMIT :most_changes)
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, {BASE} AS base, column_base.below,
  ARRAY(SELECT begins_at FROM detached_months WHERE table_name = :events) AS detached,
  few.listed, ARRAY(SELECT DISTINCT person FROM missed, unnest(person_ids) AS person WHERE few.listed LIMIT :most_persons)
    AS person_ids
FROM column_base CROSS JOIN (
  SELECT count(*) < :most_changes AND bool_and(person_ids IS NOT NULL) IS NOT FALSE
    AND COALESCE(sum(cardinality(person_ids)), 0) <= :most_listed AS listed FROM missed) AS few
""").bindparams(  # noqa: S608  # a constant
    *(bindparam(name, type_=ARRAY(Text)) for name in ("sources", "since", "copied", "snapshots")),
    *(bindparam(name, type_=ARRAY(Date)) for name in ("firsts", "lasts", "months")),
)


def look(stretches: Sequence[Stretch], chunks: Sequence[Chunk]) -> Look | None:
    """The present moment and whose rows the copy has not as they are now, in one statement; None: nothing is noted."""
    seen: dict[tuple[Source, date | None], list[Snapshot]] = defaultdict(list)
    for each in chunks:
        seen[each.source, each.month].append(each.snapshot)
    copied = {month: Snapshot.of_all(pieces) for month, pieces in seen.items()}
    snapshots = [*(each.since for each in stretches), *copied.values()]
    values = {
        "sources": [str(each.source) for each in stretches],
        "firsts": [each.first for each in stretches],
        "lasts": [each.last for each in stretches],
        "since": [str(each.since) for each in stretches],
        "copied": [str(source) for source, _ in copied],
        "months": [month for _, month in copied],
        "snapshots": list(map(str, copied.values())),
        "xmin": min(each.xmin for each in snapshots),
        "always": ALWAYS,
        "events": Source.EVENTS,
        "most_changes": MOST_CHANGES + 1,
        "most_persons": MOST_PERSONS + 1,
        "most_listed": MOST_LISTED,
    }
    row = session().execute(_LOOK, values).one_or_none()
    if row is None:
        return None
    detached = frozenset(begins.astimezone(UTC).date() for begins in row.detached)
    few = row.listed and len(row.person_ids) <= MOST_PERSONS
    snapshot = Snapshot.parse(row.snapshot)
    return Look(snapshot, row.base, row.below, detached, row.person_ids if few else None)


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
