"""Sets of leaves on events and orders: whose rows changed since is noted for the copy in columns, and serves them too.

Not where the clock alone changes the answer (rolling windows, days counted from today): finding out who fell out of a window
takes as long as asking the copy for everybody (docs/adr/0015-columns.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from pyroaring import BitMap64
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors

from scrm.kernel.clock import utcnow
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.changes import Stretch, look
from tags.columns.service.rows import months
from tags.columns.service.shelf import Source
from tags.rules.tree import parse_tree
from tags.rules.windows import edges
from tags.sets.queries.changes import customers_of_persons
from tags.sets.service.normal_form import leaf_of
from tags.sets.service.watching import EVERYBODY, leaf_clause, sources_of

BESIDE = frozenset({"customers", "customer_people"})
"""What such leaves read besides, by the names of noted changes of sets."""
TABLES = {
    "behaviour_events": Source.EVENTS, "event_days": Source.EVENTS,
    "orders": Source.ORDERS, "order_lines": Source.ORDERS,
}  # fmt: skip
EMPTIED = (
    date(1990, 1, 1),
    date(2100, 1, 1),
)  # the first and last month that are noted of a table that is emptied
LONG = timedelta(days=366 * 11)  # no window is as long
DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Rows:
    """What a leaf reads: rows of a source, of the months (UTC) from one to another."""

    source: Source
    first: date
    last: date


def is_followed(key: str) -> bool:
    """Whether a set can be brought to the present: all that changes it is noted, here or for the copy."""
    return sources_of(key) is not None or rows_of(key) is not None


def rows_of(key: str) -> Rows | None:
    """Which copied rows a leaf depends on; None: on others too, or on the time."""
    source = None if key == EVERYBODY else _source_of(key)
    return Rows(source, *_months(key)) if source else None


@lru_cache(maxsize=10_000)
def _source_of(key: str) -> Source | None:
    """Whose rows decide, apart from who is which customer; None: others' too, or the clock."""
    now = utcnow()
    clauses = [
        leaf_clause(key, at, everybody=everybody) for everybody in (False, True) for at in (now, now + LONG)
    ]
    tables = {name for clause in clauses for name in map(_table, visitors.iterate(clause)) if name}
    sources = {TABLES[name] for name in tables & TABLES.keys()}
    if len(sources) != 1 or tables - TABLES.keys() - BESIDE or any(map(_differ, clauses[::2], clauses[1::2])):
        return None
    return sources.pop()


def _table(element: Any) -> str | None:
    return str(element.name) if element.__visit_name__ == "table" else None


def _differ(one: Any, other: Any) -> bool:
    """Whether a predicate says something else at another time."""
    told = [each.compile(dialect=DIALECT) for each in (one, other)]
    return str(told[0]) != str(told[1]) or told[0].params != told[1].params


def _months(key: str) -> tuple[date, date]:
    """Months with rows that matter; all of them, where the window is not that of the moment by which months go."""
    args = parse_tree(leaf_of(key)).args
    if not args.get("window") or args.get("time", "placed") != "placed":
        return date.min, date.max
    begin, end = edges(args["window"], utcnow())
    after = timedelta(hours=args.get("within_hours", 0))
    first, last = months((begin, end + after if end else None))
    return min(first, EMPTIED[1]), max(last, EMPTIED[0])


def customers_changed(rows: Rows, since: Snapshot) -> BitMap64 | None:
    """The customers of those whose rows came, went or changed; None: too many, or nobody knows."""
    stretch = Stretch(rows.source, rows.first, rows.last, since)
    seen = look([stretch], [])
    if seen is None or seen.person_ids is None or not seen.knows_since(since):
        return None
    return customers_of_persons(BitMap64(seen.person_ids))
