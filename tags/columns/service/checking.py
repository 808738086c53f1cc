"""Comparing parts of the copy with the rows they are of: how many there are, and what their values add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from tags.columns.queries.missed import persons_missed
from tags.columns.service.building import drafting, writing
from tags.columns.service.duck import quoted
from tags.columns.service.json_values import property_columns
from tags.columns.service.laying import TABLES
from tags.columns.service.shelf import Chunk, Source, folder
from tags.columns.service.taking import EVENT_COLUMNS, ORDER_COLUMNS, within

Figures = dict[str, tuple[int, int]]
"""Of each column how many values there are, and what they add up to."""

# Of each type of column what is added up: by PostgreSQL, and by DuckDB.
MEASURES = {
    "BIGINT": ("{}", "{}"),
    "DECIMAL(18,4)": ("{} * 10000", "CAST({} * 10000 AS HUGEINT)"),
    "VARCHAR": (
        "CAST(CAST('x' || substr(md5({}), 1, 8) AS bit(32)) AS bigint)",
        "CAST('0x' || substr(md5({}), 1, 8) AS BIGINT)",
    ),
    "TIMESTAMP": ("extract(epoch FROM {}) * 1000000", "epoch_us({})"),
    "BOOLEAN": ("CAST({} AS int)", "CAST({} AS INT)"),
    "DATE": ("{} - DATE '2000-01-01'", "{} - DATE '2000-01-01'"),
}
VALUES = {
    PropertyType.TEXT: "CASE WHEN jsonb_typeof(properties -> {0}) = 'string' THEN properties ->> {0} END",
    PropertyType.NUMBER: "CASE WHEN jsonb_typeof(properties -> {0}) = 'number' THEN CAST(properties -> {0} AS numeric) END",
    PropertyType.BOOLEAN: "CASE WHEN jsonb_typeof(properties -> {0}) = 'boolean' THEN CAST(properties -> {0} AS boolean) END",
    PropertyType.TIME: "timezone('UTC', CAST(properties ->> {0} AS timestamptz))",
}
VALUES[PropertyType.INTEGER] = VALUES[PropertyType.NUMBER]


def differences(chunk: Chunk) -> list[str] | None:
    """Columns that say something else than PostgreSQL, such as ``events_3.p_price``; needs a transaction of one snapshot.

    Persons whose rows changed since the chunk was written are left aside on both sides.

    :returns: None: too many changed for a comparison
    """
    persons = persons_missed(chunk)
    if persons is None:
        return None
    wrong = []
    for table, columns in _tables(chunk).items():
        ours, theirs = _copied(chunk, table, columns, persons), _true(chunk, table, columns, persons)
        wrong += [f"{table}.{name}" for name in columns if ours[name] != theirs[name]]
    return wrong + _types_without_table(chunk, persons)


def _tables(chunk: Chunk) -> dict[str, Mapping[str, str]]:
    if chunk.source is not Source.EVENTS:
        return TABLES[chunk.source]
    return {
        f"events_{type_id}": {**EVENT_COLUMNS, **property_columns(keys)}
        for type_id, keys in chunk.typed.items()
    }


def _figured(columns: Mapping[str, str], side: int) -> str:
    """What is asked of each column; with a key, so that a table without rows has figures too."""
    told = []
    for name, kind in columns.items():
        column = '"' + name + '"'
        told.append(f"count({column}), COALESCE(sum({MEASURES[kind][side].format(column)}), 0)")
    return ", ".join(told)


def _copied(chunk: Chunk, table: str, columns: Mapping[str, str], persons: list[int]) -> Figures:
    owner = "(SELECT person_id FROM orders WHERE orders.id = order_id)"
    who = owner if table == "order_lines" else "person_id"
    figures = _figured(columns, 1)
    question = f"SELECT {figures} FROM {table} WHERE {who} NOT IN (SELECT unnest(CAST($1 AS BIGINT[])))"  # noqa: S608  # our names
    with drafting() as place, writing(place) as duck:
        duck.execute(f"ATTACH {quoted(folder() / chunk.file)} AS copied (READ_ONLY)")
        duck.execute("USE copied")
        row = duck.execute(question, [persons]).fetchone()
    return _by_column(columns, row or ())


def _true(chunk: Chunk, table: str, columns: Mapping[str, str], persons: list[int]) -> Figures:
    rows, figures = _rows(chunk, table), sql.SQL(_figured(columns, 0))
    question = sql.SQL("SELECT {} FROM ({}) AS rows WHERE whose <> ALL(%s)").format(figures, rows)
    driver: Any = session().connection().connection.driver_connection
    return _by_column(columns, driver.execute(question, [persons]).fetchone())


def _by_column(columns: Mapping[str, str], row: Sequence[Any]) -> Figures:
    told = [int(value) for value in row]
    return {name: (told[2 * n], told[2 * n + 1]) for n, name in enumerate(columns)}


def _rows(chunk: Chunk, table: str) -> sql.Composable:
    """The rows that the table has to hold, with the person they belong to."""
    if table == "people":
        return sql.SQL("SELECT person_id, customer_id, person_id AS whose FROM customer_people")
    if table == "orders":
        columns = sql.SQL(", ").join(map(_utc, ORDER_COLUMNS))
        return sql.SQL("SELECT {}, person_id AS whose FROM orders WHERE person_id IS NOT NULL AND {}").format(
            columns, within(chunk)
        )
    if table == "order_lines":
        return sql.SQL(
            "SELECT order_id, product_id, person_id AS whose FROM order_lines JOIN orders o ON o.id = order_id"
            " WHERE product_id IS NOT NULL AND person_id IS NOT NULL AND {}"
        ).format(within(chunk, id_="order_id"))
    return _events(chunk, int(table.removeprefix("events_")))


def _utc(name: str) -> sql.Composable:
    column = sql.Identifier(name)
    if ORDER_COLUMNS[name] == "TIMESTAMP":
        return sql.SQL("timezone('UTC', {0}) AS {0}").format(column)
    return column


def _events(chunk: Chunk, type_id: int) -> sql.Composable:
    zone = sql.Literal(settings().corp.timezone)
    columns: list[sql.Composable] = [sql.SQL("person_id, person_id AS whose, timezone('UTC', at) AS at")]
    columns.append(sql.SQL("CAST(timezone({}, at) AS date) AS day").format(zone))
    for key, kind in chunk.typed[type_id].items():
        value = sql.SQL(VALUES[PropertyType(kind)]).format(sql.Literal(key))
        columns.append(sql.SQL("{} AS {}").format(value, sql.Identifier(f"p_{key}")))
    return sql.SQL("SELECT {} FROM behaviour_events WHERE type_id = {} AND {}").format(
        sql.SQL(", ").join(columns), sql.Literal(type_id), within(chunk)
    )


def _types_without_table(chunk: Chunk, persons: list[int]) -> list[str]:
    """Tables that are missing: of types that have rows in the month."""
    if chunk.source is not Source.EVENTS:
        return []
    question = sql.SQL(
        "SELECT DISTINCT type_id FROM behaviour_events WHERE {} AND type_id <> ALL(%s) AND person_id <> ALL(%s)"
    ).format(within(chunk))
    driver: Any = session().connection().connection.driver_connection
    rows = driver.execute(question, [list(chunk.typed), persons]).fetchall()
    return sorted(f"events_{type_id}" for (type_id,) in rows)
