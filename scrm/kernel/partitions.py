"""Monthly partitions of large tables (messages, timeline): made ahead, detachable later.

A table is partitioned by giving ``postgresql_partition_by="RANGE (<column>)"`` in its table arguments. A default
partition takes rows of months that nobody foresaw, so that no row is ever refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from psycopg.errors import CheckViolation, DuplicateTable, LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scrm.kernel.clock import utcnow
from scrm.kernel.db import Base
from scrm.kernel.locks import lock_key

MONTHS_BACK = 3
MONTHS_AHEAD = 3
MONTHS_ON_DEMAND = (
    120  # rows of older months stay in the default partition: each partition costs planning time
)
LOCK_PATIENCE = "2s"
DETACHABLE = "detachable"  # key of a table's info
LOCK = lock_key("partitions")  # one maker at a time


def partition_name(table: str, month: date) -> str:
    """How the partition of a month is called."""
    return f"{table}_{month:%Y_%m}"


def partitioned_tables() -> list[str]:
    """Names of the tables that are partitioned by month."""
    return [
        t.name for t in Base.metadata.sorted_tables if t.dialect_options["postgresql"].get("partition_by")
    ]


def ensure_partitions(connection: Connection) -> list[str]:
    """Create the missing monthly partitions around today; returns the names made. Safe to run again at any time."""
    made = []
    today = utcnow().date()
    for table in partitioned_tables():
        made += _create(connection, table, f"{table}_default", "DEFAULT")
        for offset in range(-MONTHS_BACK, MONTHS_AHEAD + 1):
            first, after = month_after(today, offset), month_after(today, offset + 1)
            bounds = f"FOR VALUES FROM ('{first} 00:00:00+00') TO ('{after} 00:00:00+00')"
            made += _create(connection, table, partition_name(table, first), bounds)
    return made


def detachable_tables() -> list[str]:
    """Partitioned tables whose packages know what to do without a month; facts of long ago may come in late."""
    return [name for name in partitioned_tables() if Base.metadata.tables[name].info.get(DETACHABLE)]


def make_months(connection: Connection, days: Iterable[date]) -> list[str]:
    """Make the missing partitions of the months of ``days`` in detachable tables; returns the names made.

    For rows that come late, in a transaction of its own before the one that writes them. Where it cannot be done
    (another transaction holds the table, or the default partition has rows of that month already), and for months more
    than MONTHS_ON_DEMAND ago, the default partition serves.
    """
    today = utcnow().date()
    oldest, newest = month_after(today, -MONTHS_ON_DEMAND), month_after(today, MONTHS_AHEAD)
    months = {month_after(day, 0) for day in days}
    names = {
        partition_name(table, first): (table, first)
        for table in detachable_tables()
        for first in sorted(months)
        if oldest <= first <= newest
    }
    if missing := _missing(connection, names):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        missing = _missing(connection, missing)
    return [name for name in missing if _attach(connection, *names[name])]


def _missing(connection: Connection, names: Iterable[str]) -> list[str]:
    return list(connection.scalars(_MISSING, {"names": list(names)}))


_MISSING = text("""
SELECT name FROM unnest(CAST(:names AS text[])) name WHERE to_regclass(name) IS NULL AND NOT EXISTS (
  SELECT FROM detached_months m
  WHERE m.table_name || to_char(timezone('UTC', m.begins_at), '_YYYY_MM') = name) ORDER BY 1
""")  # a month that was detached does not come back by itself, also when its table was dropped


def _attach(connection: Connection, table: str, first: date) -> bool:
    """Make a table and attach it: unlike CREATE … PARTITION OF that lets others go on writing."""
    name = partition_name(table, first)
    bounds = f"FOR VALUES FROM ('{first} 00:00:00+00') TO ('{month_after(first, 1)} 00:00:00+00')"
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'"))
            connection.execute(
                text(f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING ALL EXCLUDING IDENTITY)')
            )
            connection.execute(text(f'ALTER TABLE "{table}" ATTACH PARTITION "{name}" {bounds}'))
    except DBAPIError as error:
        if isinstance(error.orig, CheckViolation | DuplicateTable | LockNotAvailable):
            return False
        raise
    return True


def month_after(day: date, offset: int) -> date:
    """The first day of the month so many months after (before, if negative) that of ``day``."""
    index = day.year * 12 + day.month - 1 + offset
    return date(index // 12, index % 12 + 1, 1)


def _create(connection: Connection, table: str, name: str, bounds: str) -> list[str]:
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
        return []
    connection.execute(text(f'CREATE TABLE IF NOT EXISTS "{name}" PARTITION OF "{table}" {bounds}'))
    return [name]
