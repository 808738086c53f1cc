"""`timeline`: a page of a timeline of 10,000 entries, of a table in monthly partitions, first page and deep inside.

The table holds 5,000,000 entries of 100,000 customers over two years (``people`` customers with 50 each, when given),
made in SQL. The baseline is a page of a customer with 50 entries, through the same function.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.partitions import make_months, month_after
from scrm.kernel.permissions import Scope
from scrm.portraits.queries import timeline_page
from tests.bench.value import database

TARGET_MS = 20.0
CUSTOMERS, QUICK_CUSTOMERS = 100_000, 1_000
EACH, LONG, MONTHS = 50, 10_000, 24
PAGES = 200
LIMIT = 50


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns two lines: median milliseconds of the first page and of pages deep inside."""
    quick = bool(options.get("quick"))
    customers = int(options.get("people") or (QUICK_CUSTOMERS if quick else CUSTOMERS))
    with database():
        _seed(customers)
        short = _timed(lambda: page(random.randint(2, customers), {}))
        figures = {"timeline_first": _timed(lambda: page(1, {})), "timeline_deep": _timed(_deep())}
        check()
    return [
        {
            "name": name,
            "value": round(value, 2),
            "unit": "ms",
            "baseline": round(short, 2),
            "ratio": round(value / short, 2),
            "target": TARGET_MS,
            "pass": value <= TARGET_MS or quick,
        }
        for name, value in figures.items()
    ]


def page(customer_id: int, filters: dict[str, Any]) -> dict[str, Any]:
    """A page, read in a transaction of its own as a request does."""
    found = timeline_page(Scope.all(), customer_id, {"limit": LIMIT, **filters})
    session().rollback()
    return found


def _deep() -> Any:
    """A function that reads a page at a random depth, every second one of payments alone."""
    cursors, cursor = [], None
    while (answer := page(1, {"cursor": cursor} if cursor else {}))["next_cursor"]:
        cursor = answer["next_cursor"]
        cursors.append(cursor)

    def read() -> None:
        kind = random.choice([{}, {"kind": "order.paid"}])
        page(1, {"cursor": random.choice(cursors), **kind})

    return read


def _timed(work: Any) -> float:
    times = []
    for _ in range(PAGES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def check() -> None:
    """Stop unless the pages of the long timeline are all its entries, each once and in order."""
    seen, cursor = [], None
    while True:
        answer = page(1, {"cursor": cursor, "limit": 200} if cursor else {"limit": 200})
        seen += [(entry.at, entry.id) for entry in answer["items"]]
        if not (cursor := answer["next_cursor"]):
            break
    if len(seen) != LONG or seen != sorted(set(seen), reverse=True):
        raise SystemExit(f"bench timeline: {len(seen)} entries came in pages, of {LONG}")


def _seed(customers: int) -> None:
    today = datetime.now(UTC).date()
    make_months(session().connection(), [month_after(today, -n) for n in range(MONTHS + 1)])
    session().execute(text(CUSTOMER_ROWS), {"customers": customers})
    values = {"now": utcnow(), "days": MONTHS * 30}
    session().execute(text(ENTRIES), {**values, "low": 1, "high": 1, "each": LONG})
    session().execute(text(ENTRIES), {**values, "low": 2, "high": customers, "each": EACH})
    session().execute(text("ANALYZE timeline"))
    session().commit()


CUSTOMER_ROWS = (
    "INSERT INTO customers (external_userid) SELECT 'wm' || n FROM generate_series(1, :customers) n"
)
ENTRIES = """
INSERT INTO timeline (at, customer_id, kind, details, source_key)
SELECT CAST(:now AS timestamptz) - make_interval(secs => (n * 7919 + c * 104729) % (CAST(:days AS bigint) * 86400)), c,
  CASE n % 10 WHEN 0 THEN 'order.paid' ELSE 'message.in' END, '{"message_id": 1}', 'k' || n
FROM generate_series(CAST(:low AS bigint), :high) c CROSS JOIN generate_series(1, :each) n
"""
