"""Values that time alone moves: the sweep finds exactly the customers whose answer changes."""

from datetime import timedelta

import pytest

from scrm.kernel.clock import utcnow
from tags.rules.compiler import condition_expires, validate_condition
from tests.tags.cases_of_people import scored


def swept(session, tree, days):
    validate_condition(tree)
    statement = condition_expires(tree, utcnow(), utcnow() + timedelta(days=days))
    return None if statement is None else set(session.scalars(statement))


@pytest.mark.parametrize(
    ("op", "value", "days", "found"),
    [
        ("gte", {"value": 30}, 0, set()),
        ("gte", {"value": 30}, 1, {29}),
        ("gte", {"value": 30}, 3, {29}),
        ("lt", {"value": 3}, 1, {2}),
        ("equals", {"value": 30}, 1, {29}),
        ("equals", {"value": 30}, 2, set()),
        ("between", {"values": [3, 29]}, 1, {2, 29}),
    ],
)  # fmt: skip
def test_days_since_the_last_order_cross_a_border_by_time_alone(world, session, op, value, days, found):
    customers = {}
    for recency in (2, 15, 29):
        customers[recency] = world.customer()
        scored(recency_days=recency)(world, customers[recency], None)
    world.customer()  # never bought
    tree = {"kind": "rfm", "figure": "recency_days", "op": op, **value}
    assert swept(session, tree, days) == {customers[one].id for one in found}


def test_scores_wait_for_the_night(world, session):
    assert swept(session, {"kind": "rfm", "figure": "r", "op": "gte", "value": 4}, 1) is None
    assert swept(session, {"kind": "rfm", "figure": "recency_days", "op": "is_present"}, 1) is None
