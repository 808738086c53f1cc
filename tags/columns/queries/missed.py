"""What chunks of the copy have missed, counted inside PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ARRAY, Date, Text, bindparam, text

from scrm.kernel.db import session
from scrm.kernel.snapshots import Snapshot
from tags.columns.service.shelf import Chunk, Source

MOST_MENDED = 20_000  # persons; with more, reading the whole month takes no longer
MOST_CHANGED = 1_000_000  # of them in all changes, so that counting them takes no time to speak of


@dataclass(frozen=True)
class Missed:
    """What changed since a chunk's snapshot.

    :param persons: of its changes together, so that somebody may count several times; None: too many to list
    """

    changes: int
    persons: int | None


def missed(chunks: Sequence[Chunk]) -> dict[str, Missed]:
    """File → what it has missed; files that have missed nothing are not there."""
    values = {
        "files": [each.file for each in chunks],
        "sources": [str(each.source) for each in chunks],
        "months": [each.month for each in chunks],
        "snapshots": [str(each.snapshot) for each in chunks],
    }
    rows = session().execute(_MISSED, values)
    return {row.file: Missed(row.changes, row.persons if row.listed else None) for row in rows}


_MISSED = text("""
SELECT k.file, count(*) AS changes, bool_and(c.person_ids IS NOT NULL) AS listed,
  CAST(sum(cardinality(c.person_ids)) AS bigint) AS persons
FROM unnest(:files, :sources, :months, CAST(:snapshots AS pg_snapshot[])) AS k(file, source, month, snapshot)
JOIN column_changes c ON c.source = k.source AND (k.month IS NULL OR k.month = ANY(c.months))
  AND c.xid >= CAST(CAST(pg_snapshot_xmin(k.snapshot) AS text) AS bigint)
  AND NOT pg_visible_in_snapshot(CAST(CAST(c.xid AS text) AS xid8), k.snapshot)
GROUP BY k.file
""").bindparams(
    bindparam("files", type_=ARRAY(Text)),
    bindparam("sources", type_=ARRAY(Text)),
    bindparam("months", type_=ARRAY(Date)),
    bindparam("snapshots", type_=ARRAY(Text)),
)


def months_changed(source: Source, since: Snapshot) -> set[date]:
    """The months in which rows of a source came, went or changed since a snapshot."""
    values = {"source": str(source), "snapshot": str(since), "xmin": since.xmin}
    return set(session().scalars(_MONTHS, values))


_MONTHS = text("""
SELECT DISTINCT month FROM column_changes c, unnest(c.months) AS month WHERE c.source = :source AND c.xid >= :xmin
  AND NOT pg_visible_in_snapshot(CAST(CAST(c.xid AS text) AS xid8), CAST(:snapshot AS pg_snapshot))
""")


def few_missed(chunk: Chunk) -> list[int] | None:
    """Whose rows changed since a chunk's snapshot, if it is known and they are at most MOST_MENDED; else None."""
    told = missed([chunk]).get(chunk.file, Missed(0, 0))
    if told.persons is None or told.persons > MOST_CHANGED:
        return None
    persons = persons_missed(chunk)
    return persons if persons is not None and len(persons) <= MOST_MENDED else None


def persons_missed(chunk: Chunk) -> list[int] | None:
    """Whose rows changed since a chunk's snapshot; None: of too many to list, or nobody knows any more."""
    below = session().scalar(text("SELECT below FROM column_base"))
    if below is None or chunk.snapshot.xmin < below:
        return None
    values = {"source": str(chunk.source), "month": chunk.month, "snapshot": str(chunk.snapshot)}
    rows = session().execute(_PERSONS, {**values, "xmin": chunk.snapshot.xmin}).scalars().all()
    return None if None in rows else [person for person in rows if person is not None]


_PERSONS = text("""
SELECT DISTINCT person FROM column_changes c LEFT JOIN LATERAL unnest(c.person_ids) AS person ON true
WHERE c.source = :source AND (CAST(:month AS date) IS NULL OR :month = ANY(c.months)) AND c.xid >= :xmin
  AND NOT pg_visible_in_snapshot(CAST(CAST(c.xid AS text) AS xid8), CAST(:snapshot AS pg_snapshot))
""")
