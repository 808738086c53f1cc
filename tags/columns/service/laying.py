"""Laying rows down in DuckDB: typed, sorted by time; those of a file before, but for the persons who changed, among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scrm.behaviour.service.checking import PropertyType
from tags.columns.service.duck import quoted
from tags.columns.service.json_values import all_fit, value_of
from tags.columns.service.shelf import Source
from tags.columns.service.taking import (
    EVENT_COLUMNS,
    LINE_COLUMNS,
    ORDER_COLUMNS,
    PERSON_COLUMNS,
    Taken,
    slots,
)

if TYPE_CHECKING:
    import duckdb

LONGEST_LINE = (
    4 * 1024 * 1024
)  # bytes of one row: 100 properties of 2,000 characters fit; more takes memory from sorting
SORTED = {"orders": "placed_at", "order_lines": "order_id", "people": "person_id"}
TABLES: dict[Source, dict[str, Mapping[str, str]]] = {
    Source.ORDERS: {"orders": ORDER_COLUMNS, "order_lines": LINE_COLUMNS},
    Source.PEOPLE: {"people": PERSON_COLUMNS},
}
# Of the file before, the rows of persons who did not change.
UNCHANGED = {
    "orders": "SELECT {} FROM before.orders ANTI JOIN changed USING (person_id)",
    "order_lines": """SELECT {} FROM before.order_lines ANTI JOIN (
      SELECT id AS order_id FROM before.orders SEMI JOIN changed USING (person_id)) AS theirs USING (order_id)""",
    "people": "SELECT {} FROM before.people ANTI JOIN changed USING (person_id)",
}


@dataclass
class Laid:
    """What was laid down.

    :param typed: of events: properties that have a column, by type
    :param left_out: properties that have none, as values do not fit
    :param rows: events, orders or customers
    """

    typed: dict[int, dict[str, str]]
    left_out: dict[int, dict[str, str]]
    rows: int = 0


def lay_rows(duck: duckdb.DuckDBPyConnection, taken: Taken) -> Laid:
    """Orders with their lines, or who is which customer."""
    _note_changed(duck, taken)
    counts = []
    for table, columns in TABLES[taken.source].items():
        listed = ", ".join(columns)
        rows = f"SELECT {listed} FROM {_given(taken.files[table], columns)}"  # noqa: S608  # our names
        if taken.before:
            rows = f"{UNCHANGED[table].format(listed)} UNION ALL {rows}"
        duck.execute(f"CREATE TABLE made.{table} AS {rows} ORDER BY {SORTED[table]}")
        counts.append(_count(duck, f"made.{table}"))
    return Laid({}, {}, counts[0])


def lay_events(duck: duckdb.DuckDBPyConnection, taken: Taken) -> Laid:
    """A table for each type of the month."""
    _note_changed(duck, taken)
    shape = {"type_id": "BIGINT", **EVENT_COLUMNS}
    shape |= {f"s{number}": "VARCHAR" for number in range(slots(taken.types))}
    rows = _given(taken.files["events"], shape)
    duck.execute(f"CREATE TABLE rows_taken AS SELECT * FROM {rows}")  # noqa: S608  # our names
    taken.files["events"].unlink()
    found = {type_id for (type_id,) in duck.execute("SELECT DISTINCT type_id FROM rows_taken").fetchall()}
    laid = Laid({}, {})
    for type_id in sorted(found | (taken.before.typed.keys() if taken.before else set())):
        _lay_type(duck, taken, type_id, laid)
    return laid


def _note_changed(duck: duckdb.DuckDBPyConnection, taken: Taken) -> None:
    if taken.before:
        duck.execute(
            "CREATE TABLE changed AS SELECT unnest(CAST($1 AS BIGINT[])) AS person_id", [taken.persons]
        )


def _given(path: Path, columns: Mapping[str, str]) -> str:
    """The rows of a CSV file as PostgreSQL writes them: an empty field is NULL, ``""`` an empty text."""
    shape = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in columns.items())
    return (
        f"read_csv({quoted(path)}, columns={{{shape}}}, header=false, auto_detect=false, delim=',', quote='\"',"
        f" escape='\"', nullstr='', allow_quoted_nulls=false, max_line_size={LONGEST_LINE}, parallel=false)"
    )


def _count(duck: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = duck.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608  # our names
    return int(count)


def _lay_type(duck: duckdb.DuckDBPyConnection, taken: Taken, type_id: int, laid: Laid) -> None:
    keys = taken.types.get(type_id, {})
    fitting = _fitting(duck, type_id, keys)
    known = taken.before.typed.get(type_id) if taken.before else None
    if known is not None:
        fitting &= known.keys()
    rows = _taken_rows(type_id, keys, fitting)
    if known is not None:
        listed = ", ".join(_names(keys, fitting))
        rows = f"SELECT {listed} FROM before.events_{type_id} ANTI JOIN changed USING (person_id) UNION ALL {rows}"  # noqa: S608  # our names
    table = f"made.events_{type_id}"
    duck.execute(f'CREATE TABLE {table} AS {rows} ORDER BY "at"')
    if not (count := _count(duck, table)):
        duck.execute(f"DROP TABLE {table}")
        return
    laid.rows += count
    laid.typed[type_id] = {key: str(kind) for key, kind in keys.items() if key in fitting}
    if odd := {key: str(kind) for key, kind in keys.items() if key not in fitting}:
        laid.left_out[type_id] = odd


def _fitting(duck: duckdb.DuckDBPyConnection, type_id: int, keys: Mapping[str, PropertyType]) -> set[str]:
    """The properties of a type whose every value that was taken fits its column."""
    if not keys:
        return set()
    asked = ", ".join(all_fit(kind, f"s{number}") for number, kind in enumerate(keys.values()))
    question = f"SELECT {asked} FROM rows_taken WHERE type_id = {type_id}"  # noqa: S608  # our names
    told = duck.execute(question).fetchone() or ()
    return {key for key, fits in zip(keys, told, strict=True) if fits}


def _names(keys: Mapping[str, PropertyType], fitting: Collection[str]) -> list[str]:
    return ["person_id", '"at"', "day", *(f'"p_{key}"' for key in keys if key in fitting)]


def _taken_rows(type_id: int, keys: Mapping[str, PropertyType], fitting: Collection[str]) -> str:
    columns = [
        f'{value_of(kind, f"s{number}")} AS "p_{key}"'
        for number, (key, kind) in enumerate(keys.items())
        if key in fitting
    ]
    listed = ", ".join(["person_id", '"at"', "day", *columns])
    return f"SELECT {listed} FROM rows_taken WHERE type_id = {type_id}"  # noqa: S608  # keys are checked
