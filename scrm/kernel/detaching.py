"""Old months of partitioned tables: taken out of the table, and put back.

A detached month is a plain table ``<table>_<year>_<month>`` that nothing reads: it can be dumped and dropped. PostgreSQL
refuses ``DETACH … CONCURRENTLY`` where there is a default partition, so the table is locked for the moment that the
detaching takes; whoever cannot get the lock within LOCK_PATIENCE gives up and may try again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from psycopg.errors import LockNotAvailable
from sqlalchemy import delete, select, text
from sqlalchemy.exc import DBAPIError

from scrm.kernel.clock import utcnow
from scrm.kernel.db import Base, session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.models import DetachedMonth
from scrm.kernel.partitions import (
    LOCK_PATIENCE,
    MONTHS_BACK,
    detachable_tables,
    month_after,
    partition_name,
)


@dataclass(frozen=True)
class Month:
    """A month of a table that has a partition, attached or not.

    :param rows: as PostgreSQL estimates; None when the detached table was dropped
    :param bytes: with indexes
    """

    table: str
    month: date
    attached: bool
    rows: int | None
    bytes: int | None

    @property
    def name(self) -> str:
        """The partition's own name."""
        return partition_name(self.table, self.month)


def newest_detachable() -> date:
    """Months before this one may be detached: newer ones are still written, and made again when missing."""
    return month_after(utcnow().date(), -MONTHS_BACK)


def months_of(table: str) -> list[Month]:
    """Every month that is attached or was detached, the oldest first."""
    detached = select(DetachedMonth.begins_at).where(DetachedMonth.table_name == table)
    gone = {begins.astimezone(UTC).date() for begins in session().scalars(detached)}
    held = {
        date(int(row.name[-7:-3]), int(row.name[-2:]), 1): row
        for row in session().execute(_PARTITIONS, {"table": table, "pattern": rf"^{table}_\d{{4}}_\d{{2}}$"})
    }
    return [
        Month(table, month, month not in gone, row.rows if row else None, row.bytes if row else None)
        for month in sorted(held.keys() | gone)
        for row in [held.get(month)]
    ]


_PARTITIONS = text("""
SELECT c.relname AS name, GREATEST(0, CAST(c.reltuples AS bigint)) AS rows, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = CAST(current_schema() AS regnamespace)
  AND c.relname ~ :pattern AND starts_with(c.relname, :table)
""")


def closed_months(table: str) -> set[date]:
    """Months of a table that are detached: rows of theirs cannot be taken in."""
    rows = session().scalars(select(DetachedMonth.begins_at).where(DetachedMonth.table_name == table))
    return {begins.astimezone(UTC).date() for begins in rows}


def month_edges(month: date) -> tuple[datetime, datetime]:
    """The moments at which a month's partition begins (in it) and ends (not in it any more)."""
    begins, ends = (datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month, month_after(month, 1)))
    return begins, ends


def detach_month(table: str, month: date) -> None:
    """Take a month out of its table, in a transaction that does nothing else.

    :raises InvalidInput: the table's months cannot be detached, or this one is too new
    :raises NotFound: there is no partition of this month
    :raises Conflict: the table was in use for too long; nothing happened
    """
    if table not in detachable_tables():
        raise InvalidInput.field("table", f"must be one of {', '.join(detachable_tables())}")
    if month >= newest_detachable():
        raise InvalidInput.field("month", f"must lie before {newest_detachable():%Y-%m}")
    if not any(one.month == month and one.attached for one in months_of(table)):
        raise NotFound(f"{table} has no partition of {month:%Y-%m}")
    _locked(f'ALTER TABLE "{table}" DETACH PARTITION "{partition_name(table, month)}"', table)
    begins, ends = month_edges(month)
    session().add(DetachedMonth(table_name=table, begins_at=begins, ends_at=ends))
    session().flush()


def attach_month(table: str, month: date) -> None:
    """Put a detached month back, with rows of that month that got into the default partition meanwhile.

    :raises NotFound: the month is not detached, or its table was dropped
    :raises Conflict: the table was in use for too long; nothing happened
    """
    found = next((one for one in months_of(table) if one.month == month and not one.attached), None)
    if found is None or found.rows is None:
        raise NotFound(f"there is no table {partition_name(table, month)} that was detached")
    edges = {"begins": datetime(month.year, month.month, 1, tzinfo=UTC)}
    edges["ends"] = datetime(*month_after(month, 1).timetuple()[:3], tzinfo=UTC)
    column = _key(table)
    session().execute(
        text(f"""
        WITH strays AS (DELETE FROM "{table}_default" WHERE "{column}" >= :begins AND "{column}" < :ends RETURNING *)
        INSERT INTO "{found.name}" SELECT * FROM strays ON CONFLICT DO NOTHING"""),  # noqa: S608  # our own names
        edges,
    )
    begins, ends = (edge.isoformat() for edge in edges.values())
    bounds = f"FOR VALUES FROM ('{begins}') TO ('{ends}')"
    _locked(f'ALTER TABLE "{table}" ATTACH PARTITION "{found.name}" {bounds}', table)
    session().execute(
        delete(DetachedMonth).where(
            DetachedMonth.table_name == table, DetachedMonth.begins_at == edges["begins"]
        )
    )


def _key(table: str) -> str:
    given: str = Base.metadata.tables[table].dialect_options["postgresql"]["partition_by"]
    return given.partition("(")[2].rstrip(")")


def _locked(statement: str, table: str) -> None:
    try:
        with session().begin_nested():
            session().execute(text(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'"))
            session().execute(text(statement))
    except DBAPIError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise Conflict(f"{table} was in use for more than {LOCK_PATIENCE}; try again") from None
        raise


def unsettled_months() -> list[tuple[str, date]]:
    """(table, month) of detached months whose figures are not put right yet."""
    rows = session().execute(
        select(DetachedMonth.table_name, DetachedMonth.begins_at).where(DetachedMonth.settled_at.is_(None))
    )
    return [(table, begins.astimezone(UTC).date()) for table, begins in rows]


def note_settled(table: str, month: date) -> None:
    """The figures kept beside the table no longer hold this month.

    The row is written anew and not changed: so what was answered from these figures is noted as old (migration 0013).
    """
    found = session().get(DetachedMonth, (table, datetime(month.year, month.month, 1, tzinfo=UTC)))
    if found is None:
        return
    said = {name: getattr(found, name) for name in ("table_name", "begins_at", "ends_at", "detached_at")}
    session().delete(found)
    session().flush()
    session().add(DetachedMonth(**said, settled_at=utcnow()))
    session().flush()
