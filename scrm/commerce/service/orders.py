"""Orders: versions by the source's own time, statuses by theirs; the order in which rows come does not matter.

A row is a whole order, or status changes alone; the latter may come first and wait for the rest. Every status change is
kept; the status of an order is that of the newest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Any

import orjson
from sqlalchemy import text

from scrm.commerce.events import OrdersChanged, Step
from scrm.commerce.service.checking import order_row
from scrm.kernel.batch import Batch, RowStatus, any_moment
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.partitions import make_months
from scrm.people.service.sent import persons_of

Row = dict[str, Any]
NOBODY = {"identities": "holds nothing that identifies anybody: placeholders and blocked values do not count"}
BODY = "person_id, amount, refunded_amount, currency, shop, region, seller"
NAMES = tuple(BODY.split(", "))


def make_room(batch: Batch) -> None:
    """Make months of timelines for what the batch tells; in a transaction of its own, before :func:`store_orders`.

    What cannot be read as a time is left to :func:`store_orders`, which refuses it.
    """
    histories = [row.get("history") for row in batch.rows if isinstance(row, dict)]
    steps = [step for history in histories if isinstance(history, list) for step in history]
    days = set()
    for step in steps:
        with suppress(ValueError):
            days.add(any_moment(step.get("at") if isinstance(step, dict) else None).date().replace(day=1))
    make_months(session().connection(), days)


def store_orders(batch: Batch) -> None:
    """Store the orders of a batch and note each row's result.

    Of two versions the one with the newer ``updated_at`` stands, of equal ones the last to come. A row without
    ``updated_at`` is as new as its newest status change.
    """
    checked = _with_persons(batch, batch.read(order_row))
    orders = _united(checked)
    if not orders:
        return
    written = _store(batch.source, orders)
    for index, row in checked:
        batch.results[index]["status"] = _status(index, orders[row["source_id"]], row, written).value


@dataclass
class Written:
    """What is news of some orders, by source_id: it is told of the row that brought it.

    :param made: orders that were not known
    :param bodies: orders whose person, amounts or lines are others
    :param steps: (order, status, at) that were not known
    """

    made: set[str]
    bodies: set[str]
    steps: set[tuple[str, str, datetime]]


def _status(index: int, order: Row, row: Row, written: Written) -> RowStatus:
    """What a row brought that no row before it did; the first of a new order made it."""
    key = row["source_id"]
    steps = {(key, str(step["status"]), step["at"]) for step in row["history"]} & written.steps
    written.steps -= steps
    if key in written.made:
        written.made.discard(key)
        return RowStatus.CREATED
    body = key in written.bodies and order.get("body") == index
    return RowStatus.UPDATED if steps or body else RowStatus.UNCHANGED


def _with_persons(batch: Batch, checked: Sequence[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """The rows with ``person_id`` where they name somebody; those that name nobody usable are refused."""
    whole = [(index, row) for index, row in checked if "identities" in row]
    persons = persons_of([row["identities"] for _, row in whole], batch.source)
    for (index, row), person_id in zip(whole, persons, strict=True):
        row["person_id"] = person_id
        if person_id is None:
            batch.refuse(index, NOBODY)
    return [(index, row) for index, row in checked if row.get("person_id", 0) is not None]


def _united(checked: Iterable[tuple[int, Row]]) -> dict[str, Row]:
    """One row per order: all steps of the batch, and the newest body."""
    orders: dict[str, Row] = {}
    for index, row in checked:
        order = orders.setdefault(row["source_id"], {"source_id": row["source_id"], "steps": set()})
        steps = {(step["at"], step["status"]) for step in row["history"]}
        order["steps"] |= steps
        if "person_id" in row:
            version = row.get("updated_at") or max(at for at, _ in steps)
            if "version_at" not in order or version >= order["version_at"]:
                said = {name: row.get(name) for name in NAMES} | {"lines": row.get("lines", [])}
                if "body" not in order or any(order[name] != value for name, value in said.items()):
                    order["body"] = index  # the row that says so first
                order |= said | {"version_at": version}
    return orders


def _store(source: str, orders: Mapping[str, Row]) -> Written:
    """Write orders, lines and status changes, and tell what changed."""
    rows = orjson.dumps([_flat(order) for order in orders.values()], default=str).decode()
    written = session().execute(_UPSERT, {"source": source, "rows": rows}).all()
    made = {row.source_id for row in written if row.created}
    bodies = {row.source_id for row in written if row.changed}
    places = session().execute(_PLACES, {"source": source, "rows": rows}).all()
    ids = {row.source_id: row.id for row in places}
    lined = _write_lines(source, [(row.id, orders[row.source_id]) for row in places if row.applied])
    steps = _write_steps([(ids[key], order) for key, order in orders.items()])
    keys = {order_id: key for key, order_id in ids.items()}
    bodies |= {keys[order_id] for order_id in lined}
    news = {(keys[order_id], status, at) for order_id, status, at in steps}
    losers = {row.old_person_id for row in written if row.old_person_id is not None and row.changed}
    whole = {ids[row.source_id] for row in written if row.whole}
    changed = made | bodies | {key for key, *_ in news}
    _tell([ids[key] for key in changed], losers, whole, steps)
    return Written(made, bodies, news)


def _flat(order: Row) -> Row:
    newest = max(order["steps"], key=lambda step: step[0])
    flat = {name: order.get(name) for name in ("source_id", "version_at", *NAMES)}
    return flat | {
        "status": newest[1],
        "status_at": newest[0],
        "placed_at": min(at for at, _ in order["steps"]),
    }


_GIVEN = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(source_id text, version_at timestamptz, person_id bigint,
  amount numeric, refunded_amount numeric, currency text, shop text, region text, seller text, status text,
  status_at timestamptz, placed_at timestamptz)"""
_UPSERT = text(f"""
INSERT INTO orders AS o (source, source_id, version_at, person_id, amount, refunded_amount, currency, shop, region,
  seller, status, status_at, placed_at)
SELECT :source, source_id, version_at, person_id, amount, COALESCE(refunded_amount, 0), currency, shop, region, seller,
  status, status_at, placed_at FROM {_GIVEN} ORDER BY source_id
ON CONFLICT (source, source_id) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in NAMES)}, version_at = excluded.version_at, updated_at = now()
WHERE excluded.version_at >= COALESCE(o.version_at, '-infinity')
  AND ({", ".join(f"o.{name}" for name in NAMES)}, o.version_at)
  IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in NAMES)}, excluded.version_at)
RETURNING new.source_id, old.id IS NULL AS created, old.version_at IS NULL AND new.version_at IS NOT NULL AS whole, old.person_id AS old_person_id, old.id IS NOT NULL
  AND ({", ".join(f"old.{name}" for name in NAMES)}) IS DISTINCT FROM ({", ".join(f"new.{name}" for name in NAMES)}) AS changed
""")  # noqa: S608  # names of this module's own constants; a row that WHERE leaves alone is locked all the same
_PLACES = text(f"""
SELECT o.id, o.source_id, o.version_at = r.version_at AS applied
FROM {_GIVEN} JOIN orders o ON o.source = :source AND o.source_id = r.source_id
""")  # noqa: S608  # a constant


def _write_lines(source: str, applied: Sequence[tuple[int, Row]]) -> set[int]:
    """Make the lines of orders what their standing version says; returns the orders whose lines changed."""
    rows = [
        {"order_id": order_id, "line_no": number, **line}
        for order_id, order in sorted(applied, key=lambda pair: pair[0])
        for number, line in enumerate(order["lines"], 1)
    ]
    counts = [{"order_id": order_id, "lines": len(order["lines"])} for order_id, order in applied]
    if not counts:
        return set()
    values = {"source": source, "rows": _dumped(rows), "counts": _dumped(counts)}
    return set(session().scalars(_DROP_LINES, values)) | set(session().scalars(_LINES, values))


def _dumped(rows: Sequence[Row]) -> str:
    return orjson.dumps(rows, default=str).decode()


_DROP_LINES = text("""
DELETE FROM order_lines l USING jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(order_id bigint, lines bigint)
WHERE l.order_id = c.order_id AND l.line_no > c.lines RETURNING l.order_id
""")
_LINES = text("""
INSERT INTO order_lines AS l (order_id, line_no, product_ref, product_id, name, quantity, amount)
SELECT r.order_id, r.line_no, r.product, p.id, r.name, r.quantity, r.amount
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(order_id bigint, line_no bigint, product text, name text,
  quantity numeric, amount numeric)
LEFT JOIN products p ON p.source = :source AND p.source_id = r.product
ORDER BY r.order_id, r.line_no
ON CONFLICT (order_id, line_no) DO UPDATE SET product_ref = excluded.product_ref, product_id = excluded.product_id,
  name = excluded.name, quantity = excluded.quantity, amount = excluded.amount
WHERE (l.product_ref, l.name, l.quantity, l.amount)
  IS DISTINCT FROM (excluded.product_ref, excluded.name, excluded.quantity, excluded.amount)
RETURNING l.order_id
""")


def _write_steps(orders: Sequence[tuple[int, Row]]) -> set[tuple[int, str, datetime]]:
    """Keep status changes and work out status and times of orders with new ones; returns the new (order, status, at)."""
    rows = [
        {"order_id": order_id, "status": status, "at": at}
        for order_id, order in sorted(orders, key=lambda pair: pair[0])
        for at, status in sorted(order["steps"])
    ]
    new = {(row.order_id, row.status, row.at) for row in session().execute(_STEPS, {"rows": _dumped(rows)})}
    if new:
        session().execute(_WORK_OUT, {"ids": sorted({order_id for order_id, *_ in new})})
    return new


_STEPS = text("""
INSERT INTO order_statuses (order_id, status, at)
SELECT order_id, status, at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(order_id bigint, status text, at timestamptz)
ON CONFLICT DO NOTHING RETURNING order_id, status, at
""")
_WORK_OUT = text("""
UPDATE orders o SET status = s.status, status_at = s.status_at, placed_at = COALESCE(s.placed_at, s.first_at),
  paid_at = s.paid_at, shipped_at = s.shipped_at, completed_at = s.completed_at, cancelled_at = s.cancelled_at,
  refunded_at = s.refunded_at, updated_at = now()
FROM (
  SELECT order_id, max(at) AS status_at, min(at) AS first_at,
    (array_agg(status ORDER BY at DESC, array_position(
      ARRAY['placed', 'paid', 'shipped', 'completed', 'cancelled', 'refunded'], CAST(status AS text)) DESC))[1] AS status,
    min(at) FILTER (WHERE status = 'placed') AS placed_at, min(at) FILTER (WHERE status = 'paid') AS paid_at,
    min(at) FILTER (WHERE status = 'shipped') AS shipped_at, min(at) FILTER (WHERE status = 'completed') AS completed_at,
    min(at) FILTER (WHERE status = 'cancelled') AS cancelled_at, max(at) FILTER (WHERE status = 'refunded') AS refunded_at
  FROM order_statuses WHERE order_id = ANY(CAST(:ids AS bigint[])) GROUP BY order_id) s
WHERE o.id = s.order_id
""")


def _tell(
    order_ids: Sequence[int], losers: set[int], whole: set[int], new: set[tuple[int, str, datetime]]
) -> None:
    """Publish what changed.

    :param whole: orders whose person is known only now; nobody was told of their steps yet
    :param new: (order, status, at) that were not known before
    """
    if not order_ids:
        return
    rows = session().execute(_TOLD, {"ids": sorted(order_ids)}).all()
    persons = {row.person_id for row in rows} | losers
    if persons:
        steps = tuple(Step(*row) for row in rows)
        untold = [each.order_id in whole or (each.order_id, each.status, each.at) in new for each in steps]
        publish(
            OrdersChanged(tuple(sorted(persons)), steps, frozenset(whole), tuple(compress(steps, untold)))
        )


_TOLD = text("""
SELECT s.order_id, o.person_id, s.status, s.at FROM orders o JOIN order_statuses s ON s.order_id = o.id
WHERE o.id = ANY(CAST(:ids AS bigint[])) AND o.person_id IS NOT NULL ORDER BY s.order_id, s.at
""")
