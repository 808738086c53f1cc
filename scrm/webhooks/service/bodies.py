"""What is sent: the event, and for fat endpoints what is known at this moment of the customers and orders in it.

Person data is read when it is sent and never kept with the event: what is corrected or erased meanwhile goes out as
it is by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.webhooks.service.catalogue import TYPES

Json = dict[str, Any]


class Told(NamedTuple):
    """An event to be sent."""

    sequence: int
    type: str
    data: Json
    noted_at: datetime
    fat: bool


def bodies(told: Sequence[Told]) -> list[bytes]:
    """The bodies, in order; one question per kind of person data for the whole batch."""
    extra = {
        "customers": _read(_CUSTOMERS, _ids(told, "customers", "customer_id")),
        "orders": _read(_ORDERS, _ids(told, "orders", "order_id")),
    }
    return [_body(each, extra) for each in told]


def _body(told: Told, extra: dict[str, dict[int, Json]]) -> bytes:
    data = told.data
    kind = TYPES[told.type].fat if told.fat and told.type in TYPES else None
    if kind:
        known = extra[kind]
        ids = dict.fromkeys(_named(data, "customer_id" if kind == "customers" else "order_id"))
        data = {**data, kind: [known[id_] for id_ in ids if id_ in known]}
    timestamp = told.noted_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return orjson.dumps(
        {"type": told.type, "timestamp": timestamp, "sequence": told.sequence, "data": data}, default=str
    )


def _ids(told: Iterable[Told], kind: str, name: str) -> list[int]:
    fat = [each for each in told if each.fat and each.type in TYPES and TYPES[each.type].fat == kind]
    return sorted({id_ for each in fat for id_ in _named(each.data, name)})


def _named(data: Json, name: str) -> Iterable[int]:
    return (item[name] for item in data.get("items", ()) if item.get(name) is not None)


def _read(question: Any, ids: list[int]) -> dict[int, Json]:
    if not ids:
        return {}
    return {row.id: dict(row._mapping) for row in session().execute(question, {"ids": ids})}


_CUSTOMERS = text("""
SELECT id, external_userid, unionid, name, type, gender, corp_name, position FROM customers
WHERE id = ANY(CAST(:ids AS bigint[]))
""")
_ORDERS = text("""
SELECT id, source, source_id, person_id, CAST(status AS text) AS status, status_at, placed_at, paid_at, shipped_at,
  completed_at, cancelled_at, refunded_at, CAST(amount AS text) AS amount,
  CAST(refunded_amount AS text) AS refunded_amount, currency, shop, region, seller
FROM orders WHERE id = ANY(CAST(:ids AS bigint[]))
""")
