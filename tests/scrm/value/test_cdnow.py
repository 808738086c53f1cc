"""The public CDNOW sample: customers by number of purchases, and the classes that quintiles of them make (docs/value.md)."""

from collections import Counter

from sqlalchemy import text

from scrm.kernel.db import transaction
from scrm.value.service.rfm import score

CUSTOMERS_BY_PURCHASES = {
    1: 1205, 2: 406, 3: 208, 4: 150, 5: 98, 6: 56, 7: 65, 8: 35, 9: 23, 10: 21, 11: 8, 12: 10, 13: 13, 14: 7, 15: 6, 16: 7,
    17: 9, 18: 2, 19: 3, 20: 1, 21: 2, 22: 4, 24: 5, 25: 1, 27: 1, 30: 1, 33: 1, 34: 1, 35: 1, 36: 1, 42: 1, 46: 1, 47: 2,
    49: 1, 56: 1,
}  # fmt: skip
CLASSES = {1: 1205, 3: 406, 4: 358, 5: 388}  # numpy.quantile(method="inverted_cdf"): cut-points 1, 1, 2, 4


def test_quintiles_of_frequency_are_those_of_the_sample(session):
    assert sum(CUSTOMERS_BY_PURCHASES.values()) == 2357
    assert sum(n * customers for n, customers in CUSTOMERS_BY_PURCHASES.items()) == 6919
    purchases = [n for n, customers in CUSTOMERS_BY_PURCHASES.items() for _ in range(customers)]
    session.execute(
        text("""
        WITH person AS (
          INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, cardinality(CAST(:purchases AS int[])))
          RETURNING id)
        INSERT INTO orders (person_id, source, source_id, status, status_at, placed_at, paid_at, amount, currency)
        SELECT id, 'cdnow', id || '-' || n, 'paid', now(), now(), now(), 10, 'CNY'
        FROM person CROSS JOIN LATERAL generate_series(1, (CAST(:purchases AS int[]))[id]) n"""),
        {"purchases": purchases},
    )
    with transaction():
        score()
    found = Counter(session.scalars(text("SELECT f FROM rfm_scores")))
    assert found == CLASSES
