"""What a leaf looked at, for people who ask why: counts, sums and times, never what somebody wrote."""

import re

import pytest
from sqlalchemy import select

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Scope
from tags.rules.leaves import leaves
from tags.rules.service.reasons import leaf_columns
from tags.rules.tree import parse_tree
from tests.tags.cases import say
from tests.tags.cases_of_people import consented, did, drawn, many, ordered, scored, staged, then, traited

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d"
THREE = did((1, {"price": 10}), (2, {"price": 5.5}), (2, {"price": 1}))


def shown(session, customer, tree):
    """(holds, value) of a tree that is one leaf."""
    columns = leaf_columns(list(parse_tree(tree).leaves()), utcnow(), Scope.all())
    row = session.execute(select(*columns).select_from(Customer).where(Customer.id == customer.id)).one()
    return row.holds[0], row.shown[0]


@pytest.mark.parametrize(
    ("kind", "make", "asked", "holds", "value"),
    [
        ("event", THREE, {}, True, rf"3 \({MOMENT}\)"),
        ("event", THREE, {"window": {"last_hours": 1}}, False, "0"),
        ("event", THREE, many("days", "gte", 2), True, "2"),
        ("event", THREE, many("sum", "gt", 20, property="price"), False, r"16\.5"),
        ("order", ordered((1, 10, {})), {}, True, rf"1 \({MOMENT}\)"),
        (
            "order",
            ordered((1, 10, {}), (2, 5, {})),
            {"measure": "sum", "op": "gte", "value": 20, "currency": "CNY"},
            False,
            r"15(\.0+)?",
        ),
        ("sequence", then(("a", 3), ("b", 2)), {"within_hours": 48}, True, rf"1 \({MOMENT}\)"),
        ("sequence", then(("a", 3), ("b", 2)), {"within_hours": 1}, False, "0"),
        ("sample", drawn(inside=True), {}, True, r"\d+"),
        ("stage", staged("loyal"), {"stages": ["lead"]}, False, "loyal"),
        ("consent", consented(True), {"channel": "sms", "state": "withdrawn"}, False, rf"given \({MOMENT}\)"),
        ("rfm", scored(r=4), {"figure": "r", "op": "gte", "value": 5}, False, "4"),
        ("trait", traited(value_num=7), {"op": "gt", "value": 5}, True, "7"),
    ],
)
def test_a_leaf_tells_the_figure_that_decided(world, session, kind, make, asked, holds, value):
    staff = world.staff()
    customer = world.customer()
    made = make(world, customer, staff) or {}
    told = shown(session, customer, {"kind": kind, **made, **asked})
    assert told[0] is holds
    assert re.fullmatch(value, told[1]), told[1]


def test_of_messages_it_tells_how_many_and_when_not_what(world, session):
    customer = world.customer()
    for text in ("价格多少", "价格呢", "你好"):
        say(customer, text)
    told = shown(session, customer, {"kind": "said_keyword", "keywords": ["价格"]})
    assert re.fullmatch(rf"2 \({MOMENT}\)", told[1])


def test_every_kind_of_ours_tells_something():
    silent = {kind for kind, leaf in leaves().items() if leaf.value is None}
    assert silent <= {"in_audience"}, "its answer says it all"
