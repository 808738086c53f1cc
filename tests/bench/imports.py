"""`imports`: a table of people from the upload to its undo, by a real web and a real worker; 20,000 rows, or ``--rows`` of them.

A row has a name, a phone, a member number, a gender and a birthday; one in twenty changes a person who is there already, one
in a hundred cannot be right. Steps: reading the file, dry run, run, undo; CPU seconds are those of web, worker and
PostgreSQL, memory is the worker's peak. Then the same rows as XLSX are read and tried. The baseline copies the rows, all text,
into a plain table with one unique number.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

import psycopg
import requests

from scrm.kernel.sheets.writing import write_csv, write_xlsx
from tests.bench.sync import Peak, cpu_seconds
from tests.stack import Stack, wait_until

ROWS, QUICK_ROWS = 20_000, 1_000
MOST = 1_048_575  # of a sheet beside its header
WORKER = "worker:background"
HEADER = ("姓名", "手机号", "会员号", "性别", "生日")
APART = 1_010
ROWS_A_SECOND = 1_000
MEMORY_MB = 400
PER_CELL = 110  # bytes: what the library that reads XLSX keeps of a sheet
SECONDS, ASK_SECONDS = 7_200.0, 0.1
WORKING = {"reading", "checking", "running", "undoing"}


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns a line per step, with rows a second.

    :param options: ``quick``; ``rows`` of the table
    """
    quick = bool(options.get("quick"))
    rows = min(MOST, int(options.get("rows") or (QUICK_ROWS if quick else ROWS)))
    with Stack(("web", WORKER), durable=True) as stack, tempfile.TemporaryFile() as file:
        file.writelines(write_csv(people(rows), HEADER))
        bare = rows / copied(stack, rows)
        work = Importing(stack, rows)
        lines = [_line(one, bare, quick) for one in work.whole(file)]
        file.seek(0)
        file.truncate()
        write_xlsx(people(rows), HEADER, file)
        lines += [_line(one, bare, quick) for one in work.tried_again(file)]
    return lines


def people(rows: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of the table. Every hundredth phone is none; every twentieth row is somebody of APART rows before by phone."""
    for n in range(rows):
        again = n % 20 == 19 and n >= APART
        person = n - APART if again else n
        phone = "12" if n % 100 == 50 else f"13{person:09d}"
        birthday = f"{1950 + person % 55}-{1 + person % 12:02d}-{1 + person % 28:02d}"
        member = "" if again else f"M{person:07d}"
        yield f"顾客{n}", phone, member, ("男", "女")[person % 2], birthday


def _line(step: Mapping[str, Any], bare: float, quick: bool) -> dict[str, Any]:
    rate = step["rows"] / step["seconds"]
    target = f">= {ROWS_A_SECOND} rows/s, <= {step['most_mb']} MB"
    return {
        "name": f"imports.{step['step']}", "value": round(rate), "unit": "rows/s", "baseline": round(bare),
        "ratio": round(rate / bare, 4), "target": target, "rows": step["rows"], "seconds": round(step["seconds"], 1),
        "cpu_seconds_per_1000": round(step["cpu"] / step["rows"] * 1000, 3), "peak_mb": round(step["peak_mb"]),
        "tally": step["tally"],
        "pass": quick or (rate >= ROWS_A_SECOND and step["peak_mb"] <= step["most_mb"]),
    }  # fmt: skip


class Importing:
    """Imports over the API; every step is measured until the import rests."""

    def __init__(self, stack: Stack, rows: int) -> None:
        self._stack, self._rows = stack, rows
        token = json.loads(stack.run("apikey", "create", "bench", "--scope", "*", "--json").stdout)["token"]
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._url = f"{stack.url}/api/v1/imports"

    def whole(self, file: IO[bytes]) -> Iterator[dict[str, Any]]:
        """Read, tried, written and given back; and nobody is left."""
        yield from self._tried(file, "people.csv", "", MEMORY_MB)
        yield self._step("run", MEMORY_MB, lambda: self._post("/start"))
        self._expect("done")
        yield self._step("undo", MEMORY_MB, lambda: self._post("/undo", dry_run=False))
        left = self._stack.sql("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM identities)")
        if left != [(0, 0)]:
            raise SystemExit(f"bench imports: {left[0]} people and identities are left after the undo")

    def tried_again(self, file: IO[bytes]) -> Iterator[dict[str, Any]]:
        """An XLSX file read and tried."""
        most = MEMORY_MB + self._rows * len(HEADER) * PER_CELL // 1_000_000
        yield from self._tried(file, "people.xlsx", ".xlsx", most)

    def _tried(self, file: IO[bytes], name: str, suffix: str, most_mb: int) -> Iterator[dict[str, Any]]:
        file.seek(0)
        yield self._step(f"read{suffix}", most_mb, lambda: self._upload(file, name))
        columns = self._ask("get", "/suggestion")["columns"]
        self._ask("put", "/mapping", json={"source": "crm", "columns": columns})
        yield self._step(f"dry_run{suffix}", most_mb, lambda: self._post("/dry-run"))
        self._expect("checked")

    def _expect(self, state: str) -> None:
        """Stop unless all rows were looked at, and one in a hundred found wrong."""
        made = self._ask("get")
        tally = made["tally"] if state == "checked" else made["done"]
        wrong = len(range(50, self._rows, 100))
        if made["state"] != state or sum(tally.values()) != self._rows or tally["error"] != wrong:
            raise SystemExit(f"bench imports: {made['state']} {made['error']} {tally}, not {wrong} errors")

    def _upload(self, file: IO[bytes], name: str) -> None:
        answer = self._http.post(
            self._url, files={"file": (name, file)}, data={"target": "people"}, timeout=300
        )
        answer.raise_for_status()
        self._import = f"{self._url}/{answer.json()['id']}"

    def _post(self, path: str, **body: Any) -> None:
        self._ask("post", path, json=body)

    def _ask(self, method: str, path: str = "", **more: Any) -> dict[str, Any]:
        answer = self._http.request(method, self._import + path, timeout=60, **more)
        answer.raise_for_status()
        return cast("dict[str, Any]", answer.json())

    def _rests(self) -> bool:
        if self._ask("get")["state"] not in WORKING:
            return True
        time.sleep(ASK_SECONDS)
        return False

    def _step(self, name: str, most_mb: int, begin: Callable[[], None]) -> dict[str, Any]:
        before, started = cpu_seconds(self._stack), time.perf_counter()
        with Peak(self._stack.pid(WORKER)) as peak:
            begin()
            wait_until(self._rests, SECONDS)
        seconds, cpu = time.perf_counter() - started, cpu_seconds(self._stack) - before
        made = self._ask("get")
        return {
            "step": name, "rows": self._rows, "seconds": seconds, "cpu": cpu, "peak_mb": peak.megabytes,
            "most_mb": most_mb, "tally": made["done"] or made["tally"],
        }  # fmt: skip


def copied(stack: Stack, rows: int) -> float:
    """Seconds that COPY takes for the rows."""
    with _table(stack) as connection:
        started = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as out:
            for number, row in enumerate(people(rows)):
                out.write_row((*row, number))
        connection.commit()
        return time.perf_counter() - started


@contextmanager
def _table(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(stack.postgres.dsn("scrm")) as connection:
        connection.execute(
            "CREATE TABLE bare (name text, phone text, member text, gender text, birthday text, n bigint PRIMARY KEY)"
        )
        connection.commit()
        yield connection
        connection.execute("DROP TABLE bare")
        connection.commit()
