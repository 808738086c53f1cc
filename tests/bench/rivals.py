"""DuckDB and chDB, each in a process of its own with two threads and as much memory as PostgreSQL has.

A rival loads the exported rows once into a store of its own beside the company's, with the types and the order that suit
it, and answers statements: a line of JSON in, a line of JSON out. It takes its own time, so that no pipe is in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.bench.exports import TABLES

THREADS = 2
MEMORY_GB = 2
DUCKDB_TYPES = {"id": "BIGINT", "small": "SMALLINT", "text": "VARCHAR", "moment": "TIMESTAMP",
                "decimal": "DECIMAL(12, 2)", "money": "DECIMAL(18, 4)"}  # fmt: skip
CHDB_TYPES = {"id": "Int64", "small": "Int16", "text": "LowCardinality(String)", "moment": "DateTime('UTC')",
              "decimal": "Decimal(12, 2)", "money": "Decimal(18, 4)"}  # fmt: skip
NULLABLE = {("orders", "paid_at"), ("customers", "gender")}
Ask = Callable[[str], Any]


class Rival:
    """One of them, running; ``with Rival("duckdb", folder) as rival: rival.ask(statement)``."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "tests.bench.rivals", name, str(folder / name)]

    def load(self, exported: Path) -> None:
        """Fill its store; a few minutes for 20 million events.

        :raises SystemExit: it is not installed
        """
        if importlib.util.find_spec(self.name) is None:
            raise SystemExit(f"bench: {self.name} is not installed; `make bench ONLY=conditions` does that")
        subprocess.run([*self._command, str(exported)], check=True, stdout=sys.stderr)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def ask(self, statement: str) -> tuple[int, float]:
        """(the number, seconds).

        :raises SystemExit: it did not answer
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(statement), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {self.name} did not answer: {statement}")
        number, seconds = json.loads(line)
        return int(number), float(seconds)


def _duckdb(store: Path) -> Ask:
    duckdb = importlib.import_module("duckdb")
    connection = duckdb.connect(
        str(store),
        config={"threads": THREADS, "memory_limit": f"{MEMORY_GB}GB", "preserve_insertion_order": False},
    )

    def ask(statement: str) -> Any:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None

    return ask


def _chdb(store: Path) -> Ask:
    connection = importlib.import_module("chdb").connect(str(store))
    for setting in (f"max_threads = {THREADS}", f"max_memory_usage = {MEMORY_GB << 30}"):
        connection.query(f"SET {setting}")

    def ask(statement: str) -> Any:
        return connection.query(statement, "TabSeparated").bytes().decode().strip()

    return ask


def _load_duckdb(ask: Ask, exported: Path) -> None:
    for table, (columns, _, order) in TABLES.items():
        types = ", ".join(f"'{name}': '{DUCKDB_TYPES[kind]}'" for name, kind in columns.items())
        rows = f"read_csv('{exported / table}.csv', header = false, columns = {{{types}}})"
        ask(f"CREATE TABLE {table} AS SELECT * FROM {rows} ORDER BY {order}")
    ask("CHECKPOINT")


def _load_chdb(ask: Ask, exported: Path) -> None:
    for table, (columns, _, order) in TABLES.items():
        types = {name: _chdb_type(table, name, kind) for name, kind in columns.items()}
        made = ", ".join(f"{name} {kind}" for name, kind in types.items())
        keys = "SETTINGS allow_nullable_key = 1"
        ask(f"CREATE TABLE {table} ({made}) ENGINE = MergeTree ORDER BY ({order}) {keys}")
        rows = f"file('{exported / table}.csv', 'CSV', '{made.replace(chr(39), chr(92) + chr(39))}')"
        ask(f"INSERT INTO {table} SELECT * FROM {rows}")
        ask(f"OPTIMIZE TABLE {table} FINAL")


def _chdb_type(table: str, name: str, kind: str) -> str:
    told = CHDB_TYPES[kind]
    return f"Nullable({told})" if (table, name) in NULLABLE else told


RIVALS = {"duckdb": (_duckdb, _load_duckdb), "chdb": (_chdb, _load_chdb)}


def main(name: str, store: str, exported: str = "") -> None:
    """Load what was exported, or answer statements until there are no more."""
    connect, load = RIVALS[name]
    ask = connect(Path(store))
    if exported:
        load(ask, Path(exported))
        return
    for line in sys.stdin:
        statement = json.loads(line)
        started = time.perf_counter()
        number = ask(statement)
        print(json.dumps([int(number), time.perf_counter() - started]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
