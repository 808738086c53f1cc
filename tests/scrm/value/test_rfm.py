"""RFM against a slow and simple reference, with many ties."""

import math
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from scrm.kernel.clock import in_zone, shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.settings import settings as corp_settings
from scrm.value.models import RfmScore
from scrm.value.queries.settings import RFM, STAGES
from scrm.value.service.rfm import score
from scrm.value.service.setting import set_rfm
from tests.profiles import examples

FIXED = {
    **RFM, "method": "fixed", "window_days": 100, "recency_cuts": [3, 10, 30, 60], "frequency_cuts": [2, 3, 4, 6],
    "monetary_cuts": ["5", "10.5", "20", "40"],
}  # fmt: skip
ORDERS = st.lists(
    st.tuples(
        st.integers(0, 9),  # person
        st.sampled_from([0, 1, 3, 10, 30, 99, 100, 101]),  # days
        st.sampled_from(["0", "5", "10.5", "20"]),
        st.sampled_from(["paid", "paid", "paid", "completed", "placed", "cancelled", "refunded"]),
        st.sampled_from(["0", "0", "5"]),
        st.sampled_from(["CNY", "CNY", "USD"]),
    ),
    max_size=40,
)


def scores(session):
    names = ("recency_days", "frequency", "monetary", "r", "f", "m")
    rows = session.scalars(select(RfmScore).execution_options(populate_existing=True))
    return {row.person_id: tuple(getattr(row, name) for name in names) for row in rows}


def counts(amount, status, refunded):
    whole = status == "refunded" and refunded == 0
    return status not in ("placed", "cancelled") and not whole and (amount == 0 or refunded < amount)


def reference(orders, chosen):
    """person -> (recency, frequency, monetary, r, f, m)."""
    bought = {}
    for person, days, paid, status, returned, currency in orders:
        amount, refunded = Decimal(paid), Decimal(returned)
        if currency == "CNY" and days <= chosen["window_days"] and counts(amount, status, refunded):
            bought.setdefault(person, []).append((days, amount - refunded))
    figures = {
        person: (min(d for d, _ in rows), len(rows), sum((a for _, a in rows), Decimal(0)))
        for person, rows in bought.items()
    }
    fixed = chosen["method"] == "fixed"
    names = ("recency_cuts", "frequency_cuts", "monetary_cuts")
    cuts = [
        [Decimal(cut) for cut in chosen[name]] if fixed else quantiles(sorted(f[i] for f in figures.values()))
        for i, name in enumerate(names)
    ]
    found = {}
    for person, values in figures.items():
        r = 5 - sum(values[0] > cut for cut in cuts[0])
        f, m = (1 + sum(values[i] >= c if fixed else values[i] > c for c in cuts[i]) for i in (1, 2))
        found[person] = (*values, r, f, m)
    return found


def quantiles(ordered):
    """The smallest value that at least so large a share does not exceed."""
    return [ordered[max(0, math.ceil(len(ordered) * p / 5) - 1)] for p in (1, 2, 3, 4)] if ordered else []


@examples(40)
@given(orders=ORDERS, chosen=st.sampled_from([FIXED, {**RFM, "window_days": 100}]))
def test_scores_are_those_of_the_reference(session, shop, orders, chosen):
    with session.begin_nested() as outer:
        people = shop.people(10)
        set_rfm(chosen)
        noon = in_zone(utcnow(), corp_settings().corp.zone).replace(hour=12)
        with shifted(noon - utcnow()):
            for person, days, amount, status, refunded, currency in orders:
                shop.order(
                    people[person], at=noon - timedelta(days=days), amount=amount, status=status, refunded=refunded,
                    currency=currency,
                )  # fmt: skip
            told = score()
            assert scores(session) == {people[p]: row for p, row in reference(orders, chosen).items()}
            assert told == sorted(scores(session))
            assert score() == []
        outer.rollback()


def test_some_persons_by_fixed_cuts_come_out_as_all_do(session, shop):
    people = shop.people(6)
    set_rfm(FIXED)
    for number, person in enumerate(people):
        for _ in range(number):
            shop.order(person, days=number)
    assert score(people[1:4]) == people[1:4]
    some = scores(session)
    assert score() == people[4:]
    everybody = scores(session)
    assert some == {person: everybody[person] for person in people[1:4]}


def test_who_leaves_the_window_loses_the_score_and_is_told(session, shop):
    (person,) = shop.people(1)
    shop.order(person, days=RFM["window_days"])
    assert score() == [person]
    with shifted(timedelta(days=1)):
        assert score() == [person]
    assert scores(session) == {}


def test_a_day_that_passes_is_written_and_told_only_when_it_changes_a_score(session, shop):
    (person,) = shop.people(1)
    set_rfm(FIXED)
    shop.order(person, days=2)
    score()
    with shifted(timedelta(days=1)):
        assert score() == []
        assert scores(session)[person][:1] == (3,)
    with shifted(timedelta(days=2)):
        assert score() == [person]
        assert scores(session)[person] == (4, 1, Decimal(10), 4, 1, 2)


def test_rows_are_written_only_where_something_differs(session, shop):
    people = shop.people(3)
    for person in people:
        shop.order(person)
    score()
    before = session.execute(text("SELECT person_id, xmin::text, ctid::text FROM rfm_scores")).all()
    with shifted(timedelta(seconds=1)):
        assert score() == []
    assert session.execute(text("SELECT person_id, xmin::text, ctid::text FROM rfm_scores")).all() == before


def test_orders_reach_the_scores_through_the_api(session, api, run_value):
    api.put("/api/v1/value/rfm/settings", json=FIXED)
    row = {
        "source_id": "o1", "history": [{"status": "paid", "at": utcnow().isoformat()}],
        "identities": {"member_no": "M100001"}, "amount": "12.50", "currency": "CNY",
    }  # fmt: skip
    answer = api.post("/api/v1/orders:batch", json={"source": "mall", "orders": [row]})
    assert answer.json["created"] == 1
    run_value()
    (item,) = api.get("/api/v1/value/rfm").json["items"]
    assert (item["frequency"], item["monetary"], item["r"], item["f"], item["m"]) == (1, "12.5000", 5, 1, 3)
    shown = api.get(f"/api/v1/people/{item['person_id']}/value").json
    assert shown["rfm"] == item
    assert shown["lifecycle"]["stage"] == "first_purchase"
    assert [change["stage"] for change in shown["history"]] == ["first_purchase"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"recency_cuts": [3, 2, 1, 0]}, "recency_cuts"),
        ({"frequency_cuts": [1, 2, 3]}, "frequency_cuts"),
        ({"monetary_cuts": ["1", "1", "2", "3"]}, "monetary_cuts"),
        ({"window_days": 0}, "window_days"),
        ({"currency": "yuan"}, "currency"),
        ({"method": "guess"}, "method"),
    ],
)
def test_wrong_settings_are_refused_by_name(api, change, field):
    answer = api.put("/api/v1/value/rfm/settings", json={**FIXED, **change})
    assert answer.status_code == 422
    assert any(field in name for name in answer.json["fields"])


def test_new_settings_are_worked_in_once(session, api, run_value):
    from scrm.value.jobs import apply_settings
    from scrm.value.queries.settings import settings_due

    assert api.get("/api/v1/value/rfm/settings").json == RFM
    assert [stage["key"] for stage in api.get("/api/v1/value/lifecycle/stages").json["items"]] == [
        stage["key"] for stage in STAGES
    ]
    with transaction():
        set_rfm(FIXED)
    assert settings_due()
    apply_settings()
    assert not settings_due()
