"""`timeline`: pages of timelines over HTTP, of a table in monthly partitions; 5,000,000 entries, or ``--rows`` of them.

``first``, ``deep``, ``kind`` (every tenth entry) and ``rare`` (every thousandth) read timelines of 10,000 entries, ``short``
those of 50; ``cold`` are short ones right after PostgreSQL was restarted and the system was told to forget the files.
The entries lie in the order of time, as they come in life, so that every entry of a customer is on a block of its own. The
baseline is the same page by hand-written SQL over an open connection, interleaved.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import requests

from scrm.kernel.partitions import month_after, partition_name
from tests.stack import Stack

TARGET_MS = 20.0
ROWS, QUICK_ROWS = 5_000_000, 400_000
EACH, LONG, LONGS, MONTHS = 50, 10_000, 20, 25
PAGES, QUICK_PAGES = 400, 20
LIMIT = 50
OFTEN, RARE = "order.paid", "follow.lost"


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns a line per way of asking: median and p95 in milliseconds.

    :param options: ``quick``; ``rows``: entries in all
    """
    quick = bool(options.get("quick"))
    wanted = int(options.get("rows") or (QUICK_ROWS if quick else ROWS))
    rows = (
        max(2, wanted // (LONG * LONGS)) * LONG * LONGS
    )  # as many in every month, and exactly LONG of the long ones
    with Stack(("web",), durable=True) as stack:
        seed(stack, rows)
        size = stack.sql("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('timeline')")[0][0]
        asking = Asking(stack, rows // EACH)
        check(asking)
        times = {name: measured(asking, ask, quick) for name, ask in asking.ways().items()}
        stack.terminate("web")
        forget_files(stack)
        stack.start("web")
        stack.wait_web()
        times["cold"] = measured(asking, asking.short, quick)
    extra = {"rows": rows, "bytes_per_row": round(int(size) / rows)}
    return [_line(name, *found, quick) | extra for name, found in times.items()]


def _line(name: str, ours: list[float], bare: list[float], quick: bool) -> dict[str, Any]:
    value, baseline = statistics.median(ours), statistics.median(bare)
    p95 = sorted(ours)[int(len(ours) * 0.95)]
    return {
        "name": f"timeline.{name}", "value": round(value, 2), "unit": "ms", "baseline": round(baseline, 2),
        "ratio": round(value / baseline, 2), "target": TARGET_MS, "p95": round(p95, 2),
        "pass": p95 <= TARGET_MS or quick,
    }  # fmt: skip


@dataclass
class Question:
    """A page: of whom, what else is in the query string, and how SQL says that."""

    customer_id: int
    query: dict[str, str]
    where: str = ""


class Asking:
    """Asks for pages: over HTTP with an API key, and by SQL.

    :param customers: how many have short timelines; their ids follow those with long ones
    """

    def __init__(self, stack: Stack, customers: int) -> None:
        self._stack, self._customers = stack, customers
        token = json.loads(stack.run("apikey", "create", "bench", "--scope", "*", "--json").stdout)["token"]
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._cursors: dict[int, list[str]] = {}

    @property
    def dsn(self) -> str:
        """Of the database."""
        return self._stack.postgres.dsn("scrm")

    def ways(self) -> dict[str, Callable[[], Question]]:
        """What is asked, by name."""
        return {
            "first": lambda: Question(self._long(), {}),
            "deep": self.deep,
            "kind": lambda: Question(self._long(), {"kind": OFTEN}, f"AND kind = '{OFTEN}'"),
            "rare": lambda: Question(self._long(), {"kind": RARE}, f"AND kind = '{RARE}'"),
            "short": self.short,
        }

    def _long(self) -> int:
        return random.randint(1, LONGS)

    def short(self) -> Question:
        """The first page of anybody."""
        return Question(random.randint(LONGS + 1, LONGS + self._customers), {})

    def deep(self) -> Question:
        """A page anywhere in a long timeline."""
        customer = self._long()
        if customer not in self._cursors:
            self._cursors[customer] = [page["next_cursor"] for page in self.pages(customer)][:-1]
        cursor = random.choice(self._cursors[customer])
        at, entry_id = (int(part) for part in cursor.split("."))
        moment = f"to_timestamp({at // 1_000_000}) + interval '{at % 1_000_000} microseconds'"
        return Question(
            customer, {"cursor": cursor}, f"AND at <= {moment} AND (at, id) < ({moment}, {entry_id})"
        )

    def pages(self, customer: int, limit: int = 200) -> Iterator[dict[str, Any]]:
        """All pages of a customer."""
        cursor: dict[str, str] = {}
        while True:
            page = self.page(Question(customer, cursor), limit)
            yield page
            if not page["next_cursor"]:
                return
            cursor = {"cursor": page["next_cursor"]}

    def page(self, question: Question, limit: int = LIMIT) -> dict[str, Any]:
        """A page over HTTP."""
        path = f"{self._stack.url}/api/v1/customers/{question.customer_id}/timeline"
        answer = self._http.get(path, params={"limit": limit, **question.query}, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def measured(asking: Asking, ask: Callable[[], Question], quick: bool) -> tuple[list[float], list[float]]:
    """Milliseconds of pages over HTTP, and of others by SQL; each is read the other way afterwards, to compare."""
    times: tuple[list[float], list[float]] = ([], [])
    with psycopg.connect(asking.dsn, autocommit=True) as connection:
        ways = (lambda q: ids(asking.page(q)), lambda q: by_sql(connection, q))
        for number in range((QUICK_PAGES if quick else PAGES) * 2):
            question, way = ask(), number % 2
            started = time.perf_counter()
            found = ways[way](question)
            times[way].append((time.perf_counter() - started) * 1000)
            if found != ways[1 - way](question):
                raise SystemExit(f"bench timeline: HTTP and SQL do not agree about {question}")
    return times


def ids(page: Mapping[str, Any]) -> list[int]:
    """Which entries are on a page."""
    return [entry["id"] for entry in page["items"]]


def by_sql(connection: psycopg.Connection[Any], question: Question) -> list[int]:
    """Entries of a page by the plainest SQL."""
    rows = connection.execute(PAGE.format(where=question.where), (question.customer_id,)).fetchall()
    return [row[0] for row in rows]


def check(asking: Asking) -> None:
    """Stop unless the pages of a long timeline are all its entries, each once and in order."""
    for customer in (1, LONGS):
        seen = [(entry["at"], entry["id"]) for page in asking.pages(customer) for entry in page["items"]]
        if len(seen) != LONG or seen != sorted(set(seen), reverse=True):
            raise SystemExit(f"bench timeline: {len(seen)} entries came in pages, of {LONG}")


def forget_files(stack: Stack) -> None:
    """Restart PostgreSQL, and have the system drop its copies of the database's files."""
    stack.sql("CHECKPOINT")
    stack.stop_store("postgres")
    for path in (stack.postgres.data / "base").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    stack.start_store("postgres")


def seed(stack: Stack, rows: int) -> None:
    """Customers and their entries: as many in every month, indexes as everywhere, made after the rows."""
    stack.sql(CUSTOMERS, LONGS + rows // EACH)
    now, each = datetime.now(UTC), rows // MONTHS
    with psycopg.connect(stack.postgres.dsn("scrm"), autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        for number in range(MONTHS):
            month = month_after(now.date(), number + 1 - MONTHS)
            ends = min(now, _start(month_after(month, 1)))
            values = {
                "low": number * each, "high": (number + 1) * each - 1, "begins": _start(month), "each": each,
                "seconds": (ends - _start(month)).total_seconds(), "long_every": rows // (LONG * LONGS),
                "longs": LONGS, "customers": rows // EACH, "spread": rows // LONG,
            }  # fmt: skip
            _month(connection, month, values)
        connection.execute("VACUUM ANALYZE timeline")
        connection.execute("VACUUM ANALYZE customers")


def _month(connection: psycopg.Connection[Any], month: date, values: Mapping[str, Any]) -> None:
    name, after = partition_name("timeline", month), month_after(month, 1)
    connection.execute(f"DROP TABLE IF EXISTS {name}")  # migrations make those around today, with indexes
    connection.execute(f"CREATE TABLE {name} (LIKE timeline INCLUDING DEFAULTS)")
    connection.execute(ENTRIES.format(name=name), values)
    connection.execute(
        f"ALTER TABLE timeline ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{month} 00:00:00+00') TO ('{after} 00:00:00+00')"
    )


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


PAGE = f"""SELECT id, at, kind, staff_id, details FROM timeline WHERE customer_id = %s {{where}}
ORDER BY at DESC, id DESC LIMIT (SELECT {LIMIT})"""
CUSTOMERS = (
    "INSERT INTO customers (external_userid) SELECT 'wm' || md5(n::text) FROM generate_series(1, %s) n"
)
ENTRIES = f"""
INSERT INTO {{name}} (id, at, customer_id, kind, staff_id, details, source_key)
SELECT n + 1, CAST(%(begins)s AS timestamptz) + make_interval(secs => (n - %(low)s) * (%(seconds)s / %(each)s)),
  CASE WHEN n %% %(long_every)s = 0 THEN 1 + (n / %(long_every)s) %% %(longs)s
    ELSE %(longs)s + 1 + n * 7368787 %% %(customers)s END,
  CASE WHEN n / %(spread)s %% 1000 = 7 THEN '{RARE}' WHEN n / %(spread)s %% 10 = 3 THEN '{OFTEN}' ELSE 'message.in' END,
  1 + n %% 1000, jsonb_build_object('message_id', n), 'message:' || n
FROM generate_series(CAST(%(low)s AS bigint), %(high)s) n
"""
