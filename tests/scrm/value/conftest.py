"""People and their orders."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.value import jobs


class Shop:
    """Writes people and orders straight into their tables."""

    def __init__(self, session):
        self.session = session

    def people(self, count):
        made = "INSERT INTO people SELECT FROM generate_series(1, :count) RETURNING id"
        return sorted(self.session.scalars(text(made), {"count": count}))

    def order(
        self,
        person,
        *,
        days=0,
        at: datetime | None = None,
        amount=10,
        status="paid",
        refunded=0,
        currency="CNY",
    ):
        paid = at or utcnow() - timedelta(days=days)
        self.session.execute(
            text("""INSERT INTO orders (person_id, source, source_id, status, status_at, placed_at, paid_at, amount,
              refunded_amount, currency) VALUES (:person, 'mall', CAST(gen_random_uuid() AS text), CAST(:status AS text), :at, :at,
              CASE WHEN CAST(:status AS text) = 'placed' THEN NULL ELSE CAST(:at AS timestamptz) END, :amount, :refunded, :currency)"""),
            {
                "person": person, "status": status, "at": paid, "amount": amount, "refunded": refunded,
                "currency": currency,
            },
        )  # fmt: skip


@pytest.fixture
def shop(session):
    """A shop on the rolled-back session."""
    return Shop(session)


@pytest.fixture
def run_value():
    """Let the worker do what is wanted."""
    return jobs.recompute_wanted
