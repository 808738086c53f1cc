"""The public CDNOW sample: what is known of its customers, and the classes that were published of them (docs/value.md)."""

from collections import Counter

from sqlalchemy import text

from scrm.kernel.db import transaction
from scrm.value.queries.settings import RFM
from scrm.value.service.rfm import score
from scrm.value.service.setting import set_rfm

CUSTOMERS_BY_PURCHASES = {
    1: 1205, 2: 406, 3: 208, 4: 150, 5: 98, 6: 56, 7: 65, 8: 35, 9: 23, 10: 21, 11: 8, 12: 10, 13: 13, 14: 7, 15: 6, 16: 7,
    17: 9, 18: 2, 19: 3, 20: 1, 21: 2, 22: 4, 24: 5, 25: 1, 27: 1, 30: 1, 33: 1, 34: 1, 35: 1, 36: 1, 42: 1, 46: 1, 47: 2,
    49: 1, 56: 1,
}  # fmt: skip
CLASSES = {1: 1205, 3: 406, 4: 358, 5: 388}  # numpy.quantile(method="inverted_cdf"): cut-points 1, 1, 2, 4

# The first 1,768 of them, on which a published program (A. Ioannidis, "RFM Using the CDNOW Dataset") was fitted.
# Days since the last purchase: those beside a published cut-point are as they are, those between stand on one day.
FITTED_BY_DAYS = {
    155: 351, 156: 3, 158: 3, 456: 349, 457: 3, 458: 2, 499: 347, 500: 19, 501: 14, 519: 310, 520: 17, 521: 17, 522: 333,
}  # fmt: skip
PUBLISHED_RECENCY = {5: 354, 4: 355, 3: 368, 2: 341, 1: 350}  # classes begin at 1, 158, 458, 501 and 521 days
FITTED_BY_PURCHASES = {
    1: 909, 2: 298, 3: 160, 4: 114, 5: 67, 6: 42, 7: 46, 8: 29, 9: 16, 10: 12, 11: 8, 12: 7, 13: 12, 14: 7, 15: 5, 16: 5,
    17: 7, 18: 2, 19: 2, 20: 1, 21: 2, 22: 4, 24: 4, 25: 1, 27: 1, 30: 1, 33: 1, 35: 1, 36: 1, 46: 1, 47: 2,
}  # fmt: skip
PUBLISHED_FREQUENCY = [
    909,
    458,
    401,
]  # classes begin at 1, 2 and 4 purchases: equal values join the better class
TEN_YEARS = 3650


def test_quintiles_of_frequency_are_those_of_the_sample(session):
    assert sum(CUSTOMERS_BY_PURCHASES.values()) == 2357
    assert sum(n * customers for n, customers in CUSTOMERS_BY_PURCHASES.items()) == 6919
    _buy(session, _each(CUSTOMERS_BY_PURCHASES), [0] * 2357)
    with transaction():
        score()
    assert _customers(session, "f") == CLASSES


def test_quintiles_of_recency_are_those_that_were_published(session):
    _buy(session, [1] * 1768, _each(FITTED_BY_DAYS))
    with transaction():
        set_rfm({**RFM, "window_days": TEN_YEARS})
        score()
    assert _customers(session, "r") == PUBLISHED_RECENCY


def test_fixed_cut_points_make_the_groups_that_were_published_of_frequency(session):
    _buy(session, _each(FITTED_BY_PURCHASES), [0] * 1768)
    with transaction():
        set_rfm({**RFM, "method": "fixed", "frequency_cuts": [1, 2, 4, 1000]})
        score()
    found = _customers(session, "f")
    assert [found[level] for level in sorted(found)] == PUBLISHED_FREQUENCY


def _each(counted):
    return [value for value, customers in counted.items() for _ in range(customers)]


def _buy(session, purchases, days):
    """Customers with so many purchases, all of them so many days ago."""
    session.execute(
        text("""
        WITH person AS (
          INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, cardinality(CAST(:purchases AS int[])))
          RETURNING id)
        INSERT INTO orders (person_id, source, source_id, status, status_at, placed_at, paid_at, amount, currency)
        SELECT id, 'cdnow', id || '-' || n, 'paid', day, day, day, 10, 'CNY'
        FROM person CROSS JOIN LATERAL (SELECT now() - make_interval(days => (CAST(:days AS int[]))[id])) d (day)
        CROSS JOIN LATERAL generate_series(1, (CAST(:purchases AS int[]))[id]) n"""),
        {"purchases": purchases, "days": days},
    )


def _customers(session, figure):
    return Counter(session.scalars(text(f"SELECT {figure} FROM rfm_scores")))  # noqa: S608  # a name of this file
