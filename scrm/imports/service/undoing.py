"""Giving back what an import changed, chunk by chunk from the last one, except what somebody changed since.

Rows that the import made go; of rows that it changed, those columns come back that it changed; rows that it took away come
back. What belongs together (an order with its lines, an event with its key) is given back whole or not at all. Persons
that the import made and that others use by now stay, with what identifies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text

from scrm.imports.service.journal import DERIVED, KEYS, Journal
from scrm.imports.service.telling import tell_forgotten, tell_undone
from scrm.kernel.db import Base, session
from scrm.people.registry import person_tables

PERSONS = ("identities", "people")
IGNORED = {"order_lines": ["product_id"], "orders": ["updated_at"], "products": ["updated_at"]}
"""Columns that the program itself brings up to date later."""
TOGETHER = {
    "orders": ("order", "id"),
    "order_lines": ("order", "order_id"),
    "order_statuses": ("order", "order_id"),
    "behaviour_events": ("event", "id"),
    "event_keys": ("event", "event_id"),
}
"""Tables whose rows belong together: (of what, the column that says of which)."""


def undo_journal(journal: Journal) -> tuple[int, list[dict[str, Any]]]:
    """(rows given back, rows that were left because they were changed since), in the running transaction."""
    tables = [table for table in KEYS if table in journal and table not in DERIVED]
    _load(journal, tables)
    _lock_people()
    for table in tables:
        _mark_changed(table)
    _mark_grown_orders()
    _mark_together()
    for table in tables:
        if table not in PERSONS:
            _restore(table)
    _mark_used_people()
    tell_undone()
    for table in tables:
        if table in PERSONS:
            _restore(table)
    tell_forgotten()
    return _report()


def _load(journal: Journal, tables: Sequence[str]) -> None:
    session().execute(_TABLE)
    session().execute(text("DELETE FROM import_undo"))
    rows = [
        {"t": table, "b": _parsed(before), "a": _parsed(after), **_group(table)}
        for table in tables
        for before, after in journal[table]
    ]
    session().execute(_LOAD, {"rows": orjson.dumps(rows).decode()})


def _parsed(row: str | None) -> Any:
    """The row as it was written, not read as numbers of Python, which would round some."""
    return None if row is None else orjson.Fragment(row)


def _group(table: str) -> dict[str, str]:
    kind, column = TOGETHER.get(table, ("", ""))
    return {"g": kind, "c": column}


_TABLE = text("""
CREATE TEMPORARY TABLE IF NOT EXISTS import_undo (
  n bigint GENERATED ALWAYS AS IDENTITY, "table" text, before jsonb, after jsonb, together text,
  why text, restored boolean NOT NULL DEFAULT false) ON COMMIT DELETE ROWS
""")
_LOAD = text("""
INSERT INTO import_undo ("table", before, after, together)
SELECT t, NULLIF(b, 'null'), NULLIF(a, 'null'), NULLIF(g, '') || ':' || (COALESCE(NULLIF(a, 'null'), b) ->> c)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(t text, b jsonb, a jsonb, g text, c text)
""")


def _lock_people() -> None:
    """Nobody gets something new between the look whether a person is used and the end of this transaction."""
    session().execute(_LOCK)


_LOCK = text("""
SELECT p.id FROM people p JOIN import_undo u ON u."table" = 'people' AND p.id = CAST(u.after ->> 'id' AS bigint)
ORDER BY p.id FOR UPDATE OF p
""")


def _same_key(table: str, row: str) -> str:
    return " AND ".join(f't."{name}" = {row}."{name}"' for name in KEYS[table])


def _mark_changed(table: str) -> None:
    """Rows that are not any more as the import left them, in the columns that it changed."""
    ignored = [*IGNORED.get(table, []), *_owners(table)]
    session().execute(text(_changed_sql(table)), {"table": table, "ignored": ignored})


def _owners(table: str) -> list[str]:
    """The column of the person: a merge moved the row, which changes nothing of what it says."""
    return [one.column for one in person_tables() if one.table == table]


def _changed_sql(table: str) -> str:
    return f"""
UPDATE import_undo u SET why = 'changed since'
FROM import_undo x CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS "{table}"), x.after) AS r
JOIN "{table}" t ON {_same_key(table, "r")}
WHERE u.n = x.n AND u."table" = :table AND EXISTS (
  SELECT FROM jsonb_each(x.after) AS e WHERE NOT e.key = ANY(CAST(:ignored AS text[]))
  AND (x.before IS NULL OR x.before -> e.key IS DISTINCT FROM e.value)
  AND to_jsonb(t) -> e.key IS DISTINCT FROM e.value)"""  # noqa: S608  # names of our own tables


def _mark_grown_orders() -> None:
    """New orders that got lines or statuses from somebody else."""
    for table in ("order_lines", "order_statuses"):
        session().execute(text(_grown_sql(table)), {"table": table})


def _grown_sql(table: str) -> str:
    return f"""
UPDATE import_undo u SET why = COALESCE(u.why, 'used by others')
WHERE u."table" = 'orders' AND u.before IS NULL AND EXISTS (
  SELECT FROM "{table}" t WHERE t.order_id = CAST(u.after ->> 'id' AS bigint) AND NOT EXISTS (
    SELECT FROM import_undo x CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS "{table}"), x.after) AS r
    WHERE x."table" = :table AND x.together = u.together AND {_same_key(table, "r")}))"""  # noqa: S608  # as above


def _mark_together() -> None:
    session().execute(_TOGETHER)


_TOGETHER = text("""
UPDATE import_undo u SET why = x.why FROM import_undo x
WHERE u.together = x.together AND u.why IS NULL AND x.why IS NOT NULL
""")


def _mark_used_people() -> None:
    """Persons that the import made and that something else belongs to; what identifies them stays too."""
    uses = " UNION ALL ".join(
        f'SELECT "{one.column}" AS id FROM "{one.table}" WHERE "{one.column}" IN (SELECT id FROM made)'  # noqa: S608  # names of our own tables
        for one in person_tables()
        if one.table != "identities"
    )
    session().execute(text(_used_sql(uses)))


def _used_sql(uses: str) -> str:
    return f"""
WITH made AS MATERIALIZED (
  SELECT CAST(after ->> 'id' AS bigint) AS id FROM import_undo WHERE "table" = 'people' AND before IS NULL),
used AS (
  {uses}
  UNION ALL SELECT person_id FROM person_consents WHERE person_id IN (SELECT id FROM made)
  UNION ALL SELECT kept_id FROM merges WHERE kept_id IN (SELECT id FROM made)
  UNION ALL SELECT gone_id FROM merges WHERE gone_id IN (SELECT id FROM made)
  UNION ALL SELECT low_id FROM person_matches WHERE low_id IN (SELECT id FROM made)
  UNION ALL SELECT high_id FROM person_matches WHERE high_id IN (SELECT id FROM made)
  UNION ALL SELECT person_id FROM identity_claims WHERE person_id IN (SELECT id FROM made)
  UNION ALL SELECT i.person_id FROM identities i WHERE i.person_id IN (SELECT id FROM made) AND NOT EXISTS (
    SELECT FROM import_undo x WHERE x."table" = 'identities' AND CAST(x.after ->> 'id' AS bigint) = i.id))
UPDATE import_undo u SET why = 'used by others' FROM (SELECT DISTINCT id FROM used) AS g
WHERE (u."table" = 'people' AND CAST(u.after ->> 'id' AS bigint) = g.id)
  OR (u."table" = 'identities' AND u.before IS NULL AND CAST(u.after ->> 'person_id' AS bigint) = g.id)"""  # noqa: S608  # names of our own tables


def _restore(table: str) -> None:
    values = {"table": table}
    if table == "products":
        session().execute(_UNLINK)
    session().execute(text(_take_away_sql(table)), values)
    session().execute(text(_change_back_sql(table)), values)
    session().execute(text(_put_again_sql(table)), values)
    session().execute(_RESTORED, values)


_UNLINK = text("""
UPDATE order_lines l SET product_id = NULL FROM import_undo u
WHERE u."table" = 'products' AND u.why IS NULL AND u.before IS NULL AND l.product_id = CAST(u.after ->> 'id' AS bigint)
""")


def _rows(table: str, which: str) -> str:
    return (
        f"""import_undo u CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS "{table}"), {which}) AS r"""
    )


def _take_away_sql(table: str) -> str:
    return f"""
DELETE FROM "{table}" t USING {_rows(table, "u.after")}
WHERE u."table" = :table AND u.why IS NULL AND u.before IS NULL AND {_same_key(table, "r")}"""  # noqa: S608  # as above


def _change_back_sql(table: str) -> str:
    """Of each row only the columns that the import changed; who it belongs to by now is kept."""
    columns = [c.name for c in Base.metadata.tables[table].columns if c.computed is None]
    sets = ", ".join(
        f"\"{name}\" = CASE WHEN u.before -> '{name}' IS DISTINCT FROM u.after -> '{name}'"
        f' THEN b."{name}" ELSE t."{name}" END'
        for name in columns
    )
    return f"""
UPDATE "{table}" t SET {sets}
FROM {_rows(table, "u.after")}, LATERAL jsonb_populate_record(CAST(NULL AS "{table}"), u.before) AS b
WHERE u."table" = :table AND u.why IS NULL AND u.before IS NOT NULL AND u.after IS NOT NULL
  AND {_same_key(table, "r")}"""  # noqa: S608  # as above


def _put_again_sql(table: str) -> str:
    columns = ", ".join(f'"{c.name}"' for c in Base.metadata.tables[table].columns if c.computed is None)
    chosen = ", ".join(f'r."{c.name}"' for c in Base.metadata.tables[table].columns if c.computed is None)
    return f"""
INSERT INTO "{table}" ({columns}) SELECT {chosen} FROM {_rows(table, "u.before")}
WHERE u."table" = :table AND u.why IS NULL AND u.after IS NULL ORDER BY u.n ON CONFLICT DO NOTHING"""  # noqa: S608  # as above


_RESTORED = text("""UPDATE import_undo SET restored = true WHERE "table" = :table AND why IS NULL""")


def _report() -> tuple[int, list[dict[str, Any]]]:
    restored = session().scalar(text("SELECT count(*) FROM import_undo WHERE restored")) or 0
    left = session().execute(_LEFT).all()
    return restored, [{"table": row.table, "record": row.record, "why": row.why} for row in left]


_LEFT = text("""
SELECT "table", why, COALESCE(after, before) ->> CASE
  WHEN "table" IN ('person_values', 'identities', 'identity_claims') THEN 'person_id'
  WHEN "table" IN ('order_lines', 'order_statuses') THEN 'order_id'
  WHEN "table" IN ('orders', 'products', 'behaviour_events', 'event_keys', 'person_records') THEN 'source_id'
  ELSE 'id' END AS record
FROM import_undo WHERE why IS NOT NULL ORDER BY n
""")
