"""Making a file of the copy: rows that were taken out of PostgreSQL, typed, sorted by time and laid down in DuckDB."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.settings import settings
from tags.columns.service.json_values import all_fit, value_of
from tags.columns.service.shelf import Chunk, Source, folder, make_folder
from tags.columns.service.taking import LINE_COLUMNS, ORDER_COLUMNS, PERSON_COLUMNS, Taken, slots

if TYPE_CHECKING:
    import duckdb

DRAFTS = ".building-"  # begins the name of a folder in which a file is made
LONGEST_LINE = 16 * 1024 * 1024  # bytes of one row
PREFIXES = {Source.EVENTS: "events", Source.ORDERS: "orders", Source.PEOPLE: "people"}
SORTED = {"orders": "placed_at", "order_lines": "order_id", "people": "person_id"}
Keys = dict[str, str]


@contextmanager
def drafting() -> Iterator[Path]:
    """A folder for what is being made, which is gone afterwards; readable by us alone, as the copy itself."""
    place = Path(tempfile.mkdtemp(prefix=DRAFTS, dir=make_folder()))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def build(taken: Taken, place: Path) -> Chunk:
    """Make the file of what was taken, under a name of its own; it is not on the list yet."""
    month = f"-{taken.month:%Y-%m}" if taken.month else ""
    name = f"{PREFIXES[taken.source]}{month}-{secrets.token_hex(4)}.duckdb"
    draft = place / name
    laid = _lay(taken, draft, place)
    draft.chmod(0o600)
    draft.replace(folder() / name)
    seconds = time.monotonic() - taken.started
    made = Chunk(taken.source, taken.month, name, taken.snapshot, taken.as_of, seconds)
    return replace(made, typed=laid.typed, left_out=laid.left_out, rows=laid.rows)


@dataclass
class _Laid:
    """Which properties of events have a column, and which do not fit."""

    typed: dict[int, Keys]
    left_out: dict[int, Keys]
    rows: int


def _lay(taken: Taken, draft: Path, place: Path) -> _Laid:
    with opened(place) as duck:
        duck.execute(f"ATTACH {quoted(draft)} AS made")
        if taken.source is Source.EVENTS:
            laid = _lay_events(duck, taken)
        elif taken.source is Source.ORDERS:
            laid = _Laid({}, {}, _lay_rows(duck, taken, "orders", ORDER_COLUMNS))
            _lay_rows(duck, taken, "order_lines", LINE_COLUMNS)
        else:
            laid = _Laid({}, {}, _lay_rows(duck, taken, "people", PERSON_COLUMNS))
        duck.execute("CHECKPOINT made")
        duck.execute("DETACH made")
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    return laid


@contextmanager
def opened(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with nothing in it, which never asks the network for anything and spills into ``place``."""
    import duckdb  # takes a fifth of a second, and most processes never need it

    given = settings().columns
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": given.threads,
        "memory_limit": f"{given.memory_megabytes}MB",
        "temp_directory": str(place / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        yield connection


def quoted(path: Path | str) -> str:
    """As a text in DuckDB's SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _rows(path: Path, columns: Mapping[str, str]) -> str:
    """The rows of a CSV file as PostgreSQL writes them: an empty field is NULL, ``""`` an empty text."""
    shape = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in columns.items())
    return (
        f"read_csv({quoted(path)}, columns={{{shape}}}, header=false, auto_detect=false, delim=',', quote='\"',"
        f" escape='\"', nullstr='', allow_quoted_nulls=false, max_line_size={LONGEST_LINE}, parallel=false)"
    )


def _lay_rows(duck: duckdb.DuckDBPyConnection, taken: Taken, table: str, columns: Mapping[str, str]) -> int:
    rows = _rows(taken.files[table], columns)
    duck.execute(f"CREATE TABLE made.{table} AS SELECT * FROM {rows} ORDER BY {SORTED[table]}")  # noqa: S608  # our names
    return _count(duck, f"made.{table}")


def _count(duck: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = duck.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608  # our names
    return int(count)


def _lay_events(duck: duckdb.DuckDBPyConnection, taken: Taken) -> _Laid:
    """A table for each type of the month."""
    shape = {"type_id": "BIGINT", "person_id": "BIGINT", "at": "TIMESTAMP", "day": "DATE"}
    shape |= {f"s{number}": "VARCHAR" for number in range(slots(taken.types))}
    rows = _rows(taken.files["events"], shape)
    duck.execute(f"CREATE TABLE rows_taken AS SELECT * FROM {rows}")  # noqa: S608  # our names
    taken.files["events"].unlink()
    laid = _Laid({}, {}, _count(duck, "rows_taken"))
    for (type_id,) in duck.execute("SELECT DISTINCT type_id FROM rows_taken ORDER BY 1").fetchall():
        keys = taken.types.get(type_id, {})
        fitting = _fitting(duck, type_id, keys)
        _lay_type(duck, type_id, keys, fitting)
        laid.typed[type_id] = {key: str(kind) for key, kind in keys.items() if key in fitting}
        if odd := {key: str(kind) for key, kind in keys.items() if key not in fitting}:
            laid.left_out[type_id] = odd
    return laid


def _fitting(duck: duckdb.DuckDBPyConnection, type_id: int, keys: Mapping[str, PropertyType]) -> set[str]:
    """The properties of a type whose every value fits its column."""
    if not keys:
        return set()
    asked = ", ".join(all_fit(kind, f"s{number}") for number, kind in enumerate(keys.values()))
    question = f"SELECT {asked} FROM rows_taken WHERE type_id = {type_id}"  # noqa: S608  # our names
    told = duck.execute(question).fetchone() or ()
    return {key for key, fits in zip(keys, told, strict=True) if fits}


def _lay_type(
    duck: duckdb.DuckDBPyConnection, type_id: int, keys: Mapping[str, PropertyType], fitting: set[str]
) -> None:
    columns = [
        f'{value_of(kind, f"s{number}")} AS "p_{key}"'
        for number, (key, kind) in enumerate(keys.items())
        if key in fitting
    ]
    listed = ", ".join(["person_id", '"at"', "day", *columns])
    rows = f'SELECT {listed} FROM rows_taken WHERE type_id = {type_id} ORDER BY "at"'  # noqa: S608  # keys are checked
    duck.execute(f"CREATE TABLE made.events_{type_id} AS {rows}")
