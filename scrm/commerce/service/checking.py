"""Is a row of products or orders right? (docs/adr/0013)"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from scrm.commerce.models import OrderStatus
from scrm.commerce.service.currencies import CURRENCIES
from scrm.kernel.batch import (
    RowProblem,
    Shape,
    choice_of,
    exact,
    free_object,
    items_of,
    moment,
    text_of,
    truth,
)
from scrm.people.service.sent import sent_identities

ID_CHARS = 128
MOST_LINES = 500
MOST_STEPS = 50
BODY = ("identities", "amount", "currency", "refunded_amount", "shop", "region", "seller", "lines")
NEEDED = ("identities", "amount", "currency")


def currency(given: Any) -> str:
    """A currency by its three letters (ISO 4217)."""
    if not isinstance(given, str) or given not in CURRENCIES:
        raise ValueError("must be a currency by its three letters (ISO 4217), such as CNY")
    return given


def quantity(given: Any) -> Decimal:
    """How many, or how much; more than none."""
    found: Decimal = exact(given)
    if not found:
        raise ValueError("must be more than 0")
    return found


PRODUCT = Shape(
    {
        "source_id": text_of(ID_CHARS),
        "name": text_of(200),
        "category": text_of(100),
        "brand": text_of(100),
        "sku": text_of(100),
        "price": exact,
        "currency": currency,
        "url": text_of(2000),
        "on_sale": truth,
        "properties": free_object,
        "updated_at": moment,
    },
    required=("source_id", "name"),
)
LINE = Shape(
    {"product": text_of(ID_CHARS), "name": text_of(200), "quantity": quantity, "amount": exact},
    required=("product", "quantity", "amount"),
)
STEP = Shape({"status": choice_of(OrderStatus), "at": moment}, required=("status", "at"))
ORDER = Shape(
    {
        "source_id": text_of(ID_CHARS),
        "history": items_of(STEP, least=1, most=MOST_STEPS),
        "updated_at": moment,
        "identities": sent_identities,
        "amount": exact,
        "refunded_amount": exact,
        "currency": currency,
        "shop": text_of(100),
        "region": text_of(100),
        "seller": text_of(100),
        "lines": items_of(LINE, most=MOST_LINES),
    },
    required=("source_id", "history"),
)


def product_row(given: Any) -> dict[str, Any]:
    """A checked product; a price needs its currency. Raises RowProblem."""
    row = PRODUCT(given)
    if "price" in row and "currency" not in row:
        raise RowProblem({"currency": "is missing: a price has one"})
    return row


def order_row(given: Any) -> dict[str, Any]:
    """A checked order: a whole one, or status changes alone. Raises RowProblem."""
    row = ORDER(given)
    if any(name in row for name in BODY):
        missing = [name for name in NEEDED if name not in row]
        if missing:
            raise RowProblem(dict.fromkeys(missing, "is missing: give the whole order, or its history alone"))
        if row.get("refunded_amount", 0) > row["amount"]:
            raise RowProblem({"refunded_amount": "must not be more than amount"})
    return row
