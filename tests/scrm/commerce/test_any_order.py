"""Whatever the order, repetition and cut into batches of the same rows of orders: the same orders, lines and statuses."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from scrm.commerce.models import OrderStatus
from scrm.commerce.service.orders import store_orders
from scrm.kernel.batch import Batch
from scrm.kernel.db import transaction
from tests.profiles import examples

BASE = datetime(2026, 10, 30, tzinfo=UTC)
HOUR = st.integers(0, 48).map(lambda h: (BASE + timedelta(hours=h)).isoformat())
STEP = st.fixed_dictionaries({"status": st.sampled_from([str(one) for one in OrderStatus]), "at": HOUR})
HISTORY = st.lists(STEP, min_size=1, max_size=3)
LINE = st.fixed_dictionaries(
    {"product": st.sampled_from(["p1", "p2"]), "quantity": st.integers(1, 3), "amount": st.integers(0, 9)}
)


@st.composite
def sent_rows(draw):
    """Rows of a few orders: whole ones of different versions, and status changes alone."""
    rows = []
    for order in range(draw(st.integers(1, 3))):
        rows += [
            {
                "source_id": f"o{order}",
                "history": draw(HISTORY),
                "updated_at": (BASE + timedelta(minutes=version)).isoformat(),
                "identities": {"member_no": f"M1000{draw(st.integers(0, 2))}"},
                "amount": draw(st.integers(0, 99)),
                "currency": "CNY",
                "shop": draw(st.sampled_from(["Bund", None])),
                "lines": draw(st.lists(LINE, max_size=2)),
            }
            for version in range(draw(st.integers(0, 3)))
        ]
        rows += [{"source_id": f"o{order}", "history": one} for one in draw(st.lists(HISTORY, max_size=2))]
    return rows or [{"source_id": "o0", "history": draw(HISTORY)}]


@st.composite
def deliveries(draw):
    rows = draw(sent_rows())
    return [draw(_delivery(rows)) for _ in range(2)]


@st.composite
def _delivery(draw, events):
    rows = draw(st.permutations(events)) + draw(st.lists(st.sampled_from(events), max_size=4))
    cuts = sorted(draw(st.sets(st.integers(1, len(rows) - 1), max_size=4))) if len(rows) > 1 else []
    return [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def deliver(batches):
    for rows in batches:
        batch = Batch("mall", [dict(row) for row in rows])
        with transaction():
            store_orders(batch)
        assert batch.answer()["refused"] == 0


QUESTIONS = (
    """SELECT o.source_id, i.value, o.status, o.status_at, o.placed_at, o.paid_at, o.shipped_at, o.completed_at,
      o.cancelled_at, o.refunded_at, o.amount, o.shop, o.version_at
    FROM orders o LEFT JOIN identities i ON i.person_id = o.person_id ORDER BY 1""",
    """SELECT o.source_id, l.line_no, l.product_ref, l.quantity, l.amount
    FROM orders o JOIN order_lines l ON l.order_id = o.id ORDER BY 1, 2""",
    "SELECT o.source_id, s.status, s.at FROM orders o JOIN order_statuses s ON s.order_id = o.id ORDER BY 1, 2, 3",
)


@examples(40)
@given(deliveries())
def test_any_delivery_of_the_same_orders_gives_the_same_rows(session, ways):
    found = []
    for batches in ways:
        session.execute(text("DELETE FROM orders"))
        deliver(batches)
        found.append([[tuple(row) for row in session.execute(text(one))] for one in QUESTIONS])
    assert found[0] == found[1]
