"""Copying everything in one transaction: all of it is there afterwards, or nothing.

Secondary indexes are dropped and built again at the end, in the same transaction; foreign keys are not checked row by row
where the database user may say so. That is several times quicker than copying into the tables as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

from psycopg import Connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scrm.cli.company_data import behaviour, people, timeline
from scrm.cli.company_data.parts import Part
from scrm.cli.company_data.size import Size
from scrm.cli.exits import Problem
from scrm.kernel.db import db, session, transaction
from scrm.kernel.partitions import make_months
from scrm.kernel.settings import settings

PARTS = (*people.PARTS, *behaviour.PARTS)
FILLED = ("orders", "order_lines", "order_statuses", "event_keys", "event_days", *timeline.FILLED)
TABLES = (*(part.table for part in PARTS if part.table != "generated_orders"), *FILLED)
LINES_AT_ONCE = 20_000
MEMORY = (
    "SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL work_mem = '256MB'; SET LOCAL synchronous_commit = off"
)


def load(size: Size, *, show: bool) -> None:
    """Generate and copy everything.

    :raises Problem: the database has rows already
    """
    _refuse_filled()
    back = people.YEARS if size.timeline else behaviour.DAYS
    days = [size.until - timedelta(days=n) for n in range(back)]
    with transaction():
        make_months(session().connection(), days)
    with transaction():
        connection: Any = session().connection().connection.driver_connection
        with _bar(show) as bar:
            _load(connection, size, bar)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as plain:
        plain.exec_driver_sql("VACUUM ANALYZE")


def _refuse_filled() -> None:
    for table in TABLES:
        if session().connection().exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first():  # noqa: S608  # a constant
            raise Problem(f"the database has rows in {table} already; generate into an empty one")
    session().rollback()


def _load(connection: Connection[Any], size: Size, bar: Progress) -> None:
    connection.execute(MEMORY)
    _spare_foreign_keys(connection)
    connection.execute(behaviour.STAGE)
    with _without_indexes(connection, bar):
        for part in PARTS:
            _copy(connection, size, part, bar)
        derived = (*behaviour.DERIVED, *(timeline.STATEMENTS if size.timeline else ()))
        steps = bar.add_task("what follows", total=len(derived))
        for statement in derived:
            named = {"zone": settings().corp.timezone} if "%(zone)s" in statement else None
            connection.execute(statement, named)
            bar.advance(steps)
    connection.execute(_COPIES_ARE_OLD)
    _set_sequences(connection)


def _copy(connection: Connection[Any], size: Size, part: Part, bar: Progress) -> None:
    task = bar.add_task(part.table, total=part.rows(size))
    lines = part.lines(size)
    with connection.cursor() as cursor, cursor.copy(f"COPY {part.table} ({part.columns}) FROM STDIN") as out:
        while block := list(islice(lines, LINES_AT_ONCE)):
            out.write("".join(block))
            bar.advance(task, len(block))
    bar.update(task, total=bar.tasks[task].completed)


def _spare_foreign_keys(connection: Connection[Any]) -> None:
    """Rows that we make fit each other; checking them again costs a third of the time."""
    may = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if may and may[0]:
        connection.execute("SET LOCAL session_replication_role = replica")


@contextmanager
def _without_indexes(connection: Connection[Any], bar: Progress) -> Iterator[None]:
    """Drop secondary indexes and keys of the filled tables, and build them again: at once is quicker than row by row.

    Keys of partitioned tables and those that foreign keys name stay.
    """
    tables = {"tables": list(TABLES)}
    keys, indexes = (connection.execute(sql, tables).fetchall() for sql in (_KEYS, _INDEXES))
    for table, name, _ in keys:
        connection.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    yield
    task = bar.add_task("indexes", total=len(keys) + len(indexes))
    again = [
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {definition}' for table, name, definition in keys
    ]
    for statement in (*again, *(definition for _, definition in indexes)):
        connection.execute(statement)
        bar.advance(task)


_KEYS = """
SELECT t.relname, k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
WHERE t.relname = ANY(%(tables)s) AND t.relnamespace = CAST(current_schema() AS regnamespace)
  AND t.relkind = 'r' AND NOT t.relispartition AND k.contype IN ('p', 'u')
  AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = k.conindid)
ORDER BY t.relname, k.conname"""
_INDEXES = """
SELECT c.relname, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relname = ANY(%(tables)s) AND t.relnamespace = CAST(current_schema() AS regnamespace)
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
ORDER BY c.relname"""


# Triggers that note changes do not fire while foreign keys are spared: what was counted or copied before the load is void.
_COPIES_ARE_OLD = """
WITH other AS (UPDATE column_base SET key = gen_random_uuid())
INSERT INTO set_changes (xid, source)
SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint), unnest(ARRAY['customers', 'customers.fields'])"""


def _set_sequences(connection: Connection[Any]) -> None:
    """Ids go on after those that were copied."""
    for table in TABLES:
        sequence = connection.execute("SELECT pg_get_serial_sequence(%s, attname) FROM pg_attribute WHERE attrelid ="
                                      " CAST(%s AS regclass) AND attname = 'id'", (table, table)).fetchone()  # fmt: skip
        if sequence and sequence[0]:
            connection.execute(f"SELECT setval(%s, (SELECT COALESCE(max(id), 1) FROM {table}))", sequence)  # noqa: S608


def _bar(show: bool) -> Progress:
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not show)
