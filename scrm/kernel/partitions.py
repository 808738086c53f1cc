"""Monthly partitions of large tables (messages, timeline): made ahead, detachable later.

A table is partitioned by giving ``postgresql_partition_by="RANGE (<column>)"`` in its table arguments. A default
partition takes rows of months that nobody foresaw, so that no row is ever refused.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import Base

MONTHS_BACK = 3
MONTHS_AHEAD = 3


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
            first, after = _month(today, offset), _month(today, offset + 1)
            bounds = f"FOR VALUES FROM ('{first} 00:00:00+00') TO ('{after} 00:00:00+00')"
            made += _create(connection, table, f"{table}_{first:%Y_%m}", bounds)
    return made


def _month(day: date, offset: int) -> date:
    index = day.year * 12 + day.month - 1 + offset
    return date(index // 12, index % 12 + 1, 1)


def _create(connection: Connection, table: str, name: str, bounds: str) -> list[str]:
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
        return []
    connection.execute(text(f'CREATE TABLE IF NOT EXISTS "{name}" PARTITION OF "{table}" {bounds}'))
    return [name]
