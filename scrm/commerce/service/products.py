"""Products: the newest version by the source's own time stands."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import text

from scrm.commerce.events import ProductsChanged
from scrm.commerce.service.checking import product_row
from scrm.kernel.batch import Batch, RowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish

COLUMNS = "name, category, brand, sku, price, currency, url, on_sale, properties"
NAMES = tuple(COLUMNS.split(", "))


def store_products(batch: Batch) -> None:
    """Store the products of a batch and note each row's result.

    A row without ``updated_at`` is the newest; an older one than what stands changes nothing.
    """
    now = utcnow()
    rows: dict[str, dict[str, Any]] = {}
    checked = batch.read(product_row)
    for index, row in checked:
        row["version_at"] = row.pop("updated_at", now)
        batch.results[index]["status"] = RowStatus.UNCHANGED.value
        other = rows.get(row["source_id"])
        if other is None or row["version_at"] >= other["version_at"]:
            rows[row["source_id"]] = row | {"index": index}
    if rows:
        _store(batch, rows)


def _store(batch: Batch, rows: dict[str, dict[str, Any]]) -> None:
    defaults = {"on_sale": True, "properties": {}}
    values = orjson.dumps([defaults | row for row in rows.values()], default=str).decode()
    written = session().execute(_STORE, {"source": batch.source, "rows": values}).all()
    for row in written:
        if row.created or row.changed:
            status = RowStatus.CREATED if row.created else RowStatus.UPDATED
            batch.results[rows[row.source_id]["index"]]["status"] = status.value
    if told := sorted(row.id for row in written if row.created or row.changed):
        link_lines(told)
        publish(ProductsChanged(tuple(told)))


_STORE = text(f"""
INSERT INTO products AS p (source, source_id, {COLUMNS}, version_at)
SELECT :source, source_id, {COLUMNS}, version_at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
  source_id text, name text, category text, brand text, sku text, price numeric, currency text, url text,
  on_sale boolean, properties jsonb, version_at timestamptz)
ORDER BY source_id
ON CONFLICT (source, source_id) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in NAMES)}, version_at = excluded.version_at, updated_at = now()
WHERE excluded.version_at >= p.version_at AND ({", ".join(f"p.{name}" for name in NAMES)}, p.version_at)
  IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in NAMES)}, excluded.version_at)
RETURNING new.id, new.source_id, old.id IS NULL AS created,
  ({", ".join(f"old.{name}" for name in NAMES)}) IS DISTINCT FROM ({", ".join(f"new.{name}" for name in NAMES)}) AS changed
""")  # noqa: S608  # names of this module's own constants


def link_lines(product_ids: list[int]) -> None:
    """Give lines that came before their product the product."""
    session().execute(_LINK, {"ids": product_ids})


# The orders are locked, in the order in which those that come in lock theirs: what is noted about a line names its order's
# person (migration 0011), who must stay that person until the line is committed. Whether lines are still unlinked is written so
# that no index answers it: each is found by its key, and not among all those of its product.
_LINES = """
WITH unlinked AS MATERIALIZED (
  SELECT l.order_id, l.line_no, l.product_ref, p.id AS product_id FROM order_lines l
  JOIN orders o ON o.id = l.order_id JOIN products p ON p.source = o.source AND p.source_id = l.product_ref
  WHERE l.product_id IS NULL {} ORDER BY o.source, o.source_id FOR SHARE OF o)
UPDATE order_lines l SET product_id = u.product_id FROM unlinked u
WHERE l.order_id = u.order_id AND l.line_no = u.line_no
  AND COALESCE(l.product_id, 0) = 0 AND l.product_ref IS NOT DISTINCT FROM u.product_ref
RETURNING l.product_id
"""
_LINK = text(_LINES.format("AND p.id = ANY(CAST(:ids AS bigint[]))"))


def link_all_lines() -> None:
    """The same for all; an order and its product that came at the same moment did not see each other.

    What is found is told: orders of these products have a category and a brand now.
    """
    if found := sorted(set(session().scalars(_LINK_ALL))):
        publish(ProductsChanged(tuple(found)))


_LINK_ALL = text(_LINES.format(""))
