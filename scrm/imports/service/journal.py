"""What an import really changed: rows of tables before and after, noted by the database itself.

Triggers (migration 0007) write every changed row of the tables below into a temporary table while the transaction says so;
otherwise they cost a look at a setting. So whatever the services do is known, a dry run (which does the same and is rolled
back) cannot differ from the run, and the undo knows exactly what to give back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from scrm.imports.service.targets.registry import Changes
from scrm.kernel.db import session

KEYS = {
    "audience_members": ("audience_id", "customer_id"),
    "order_lines": ("order_id", "line_no"),
    "order_statuses": ("order_id", "status", "at"),
    "orders": ("id",),
    "products": ("id",),
    "behaviour_events": ("id",),
    "event_keys": ("source", "source_id"),
    "person_values": ("id",),
    "person_records": ("source", "source_id"),
    "person_fields": ("person_id", "field"),
    "person_matches": ("id",),
    "identity_claims": ("kind", "value", "person_id"),
    "blocked_values": ("kind", "value"),
    "identities": ("id",),
    "people": ("id",),
}
"""What finds a row again, by table; in the order in which an undo gives back."""
DERIVED = {"person_fields"}
"""Worked out of other tables: an undo works them out again."""
Entry = tuple[str | None, str | None]
"""A row before and after, as the database writes JSON (numbers keep every digit)."""
Journal = dict[str, list[Entry]]


@contextmanager
def watching() -> Iterator[None]:
    """Let the triggers note what the running transaction changes, until the block ends."""
    session().execute(_TABLE)
    session().execute(text("DELETE FROM import_changes"))
    session().execute(text("SELECT set_config('scrm.import', 'on', true)"))
    yield  # after an error the transaction is rolled back, and the setting with it
    session().execute(text("SELECT set_config('scrm.import', '', true)"))


_TABLE = text("""
CREATE TEMPORARY TABLE IF NOT EXISTS import_changes (
  n bigint GENERATED ALWAYS AS IDENTITY, "table" text, before jsonb, after jsonb) ON COMMIT DELETE ROWS
""")


def noted() -> Journal:
    """Every row that was changed since watching began: as it was first, and as it is."""
    tables = session().scalars(text('SELECT DISTINCT "table" FROM import_changes')).all()
    return {
        table: [(row.before, row.after) for row in session().execute(_noted(table), {"table": table})]
        for table in KEYS
        if table in tables
    }


def _noted(table: str) -> Any:
    key = ", ".join(f"COALESCE(after, before) -> '{name}'" for name in KEYS[table])
    return text(f"""
SELECT CAST(before AS text) AS before, CAST(after AS text) AS after FROM (
  SELECT min(n) AS n, (array_agg(before ORDER BY n))[1] AS before, (array_agg(after ORDER BY n DESC))[1] AS after
  FROM import_changes WHERE "table" = :table GROUP BY {key}) AS c
WHERE before IS DISTINCT FROM after ORDER BY n""")  # noqa: S608  # names of this module's own constants


def readable(journal: Mapping[str, Sequence[Entry]], tables: set[str]) -> Changes:
    """Some tables of a journal as objects; numbers that are no whole ones stay text, so that none is rounded."""
    return {
        table: [(_object(before), _object(after)) for before, after in entries]
        for table, entries in journal.items()
        if table in tables
    }


_DECODER = json.JSONDecoder(parse_float=str)


def _object(row: str | None) -> Any:
    return None if row is None else _DECODER.decode(row)
