"""Stages: bounds, transitions, dated history, and what makes persons move."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from scrm.commerce.events import OrdersChanged
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish, subscribe
from scrm.people.service.merging import merge, unmerge
from scrm.value.events import ValueChanged
from scrm.value.queries.settings import STAGES, stage
from scrm.value.service.lifecycle import stage_people
from scrm.value.service.recomputing import recompute_everybody
from scrm.value.service.setting import set_stages


def stages(session):
    return dict(session.execute(text("SELECT person_id, stage FROM lifecycle")).all())


def history(session, person):
    found = "SELECT from_stage, stage FROM lifecycle_history WHERE person_id = :person ORDER BY id"
    return [tuple(row) for row in session.execute(text(found), {"person": person})]


@pytest.mark.parametrize(
    ("orders", "days", "expected"),
    [
        (0, 0, "lead"), (1, 0, "first_purchase"), (1, 90, "first_purchase"), (2, 90, "repeat"), (4, 5, "repeat"),
        (5, 5, "loyal"), (5, 91, "at_risk"), (1, 180, "at_risk"), (7, 181, "lost"),
    ],
)  # fmt: skip
def test_the_stages_that_come_with_the_program(session, shop, orders, days, expected):
    (person,) = shop.people(1)
    for _ in range(orders):
        shop.order(person, days=days)
    assert stage_people() == [person]
    assert stages(session) == {person: expected}
    assert stage_people() == []
    assert history(session, person) == [(None, expected)]


def test_history_is_dated_and_time_alone_moves_people(session, shop):
    (person,) = shop.people(1)
    shop.order(person)
    stage_people()
    for days in (50, 91, 181):
        with shifted(timedelta(days=days)):
            stage_people()
    with shifted(timedelta(days=200)):
        shop.order(person)
        stage_people()
        moment = session.scalar(text("SELECT since FROM lifecycle"))
        assert abs(moment - utcnow()) < timedelta(seconds=5)
    passed = ["first_purchase", "at_risk", "lost", "repeat"]
    assert history(session, person) == list(zip([None, *passed], passed, strict=False))
    dates = session.scalars(text("SELECT at FROM lifecycle_history ORDER BY id")).all()
    assert [(at - dates[0]).days for at in dates] == [0, 91, 181, 200]


def test_an_own_stage_is_come_into_only_from_where_it_may_be(session, shop):
    back = stage("won_back", "挽回", "won back", orders_min=1, days_max=30, enters_from=["lost"])
    set_stages([back, *STAGES])
    lost, other = shop.people(2)
    shop.order(lost, days=200)
    shop.order(other)
    stage_people()
    assert stages(session) == {lost: "lost", other: "first_purchase"}
    shop.order(lost)
    shop.order(other)
    stage_people()
    assert stages(session) == {lost: "won_back", other: "repeat"}
    assert stage_people() == []
    with shifted(timedelta(days=31)):
        stage_people()
    assert stages(session)[lost] == "repeat"


def test_who_fits_nowhere_stays(session, shop):
    set_stages(
        [stage("new", "新", "new", orders_max=0), stage("old", "老", "old", orders_min=9, enters_from=[])]
    )
    (person,) = shop.people(1)
    stage_people()
    for _ in range(9):
        shop.order(person)
    assert stage_people() == []
    assert stages(session) == {person: "new"}


def test_some_persons_come_out_as_everybody_does(session, shop):
    people = shop.people(7)
    for number, person in enumerate(people):
        for _ in range(number):
            shop.order(person, days=40 * number)
    assert stage_people(people[2:4]) == people[2:4]
    some = stages(session)
    assert set(stage_people()) == {*people} - {*people[2:4]}
    assert some.items() <= stages(session).items()


@pytest.fixture
def told():
    """Persons told of, per event, while the test runs."""
    heard, on = [], [True]

    @subscribe(ValueChanged)
    def hear(events):
        if on:
            heard.extend(event.person_ids for event in events)

    yield heard
    on.clear()


def test_changes_are_told_once_in_lists(session, shop, told, run_value):
    people = shop.people(3)
    with transaction():
        recompute_everybody()
    assert told == [tuple(people)]
    shop.order(people[1])
    with transaction():
        publish(OrdersChanged((people[1],)), OrdersChanged((people[1], people[2])))
    run_value()
    run_value()
    assert told[1:] == [(people[1],)]
    assert session.scalar(text("SELECT count(*) FROM value_wanted")) == 0


def test_a_merge_and_its_undoing_move_stages(session, shop, run_value):
    kept, gone = shop.people(2)
    shop.order(kept)
    shop.order(gone)
    with transaction():
        recompute_everybody()
    with transaction():
        merged = merge(kept, gone, "apikey:1")
    run_value()
    assert stages(session) == {kept: "repeat"}
    with transaction():
        unmerge(merged, "apikey:1")
    run_value()
    assert stages(session) == {kept: "first_purchase", gone: "first_purchase"}


def whole(session, *people):
    """Stage, since when, and every dated change of these persons."""
    found = text("""SELECT l.stage, l.since, (SELECT array_agg(ROW(from_stage, stage, at)::text ORDER BY h.id)
      FROM lifecycle_history h WHERE h.person_id = l.person_id) FROM lifecycle l WHERE l.person_id = :person""")
    return [[tuple(row) for row in session.execute(found, {"person": person})] for person in people]


@pytest.mark.parametrize("everybody", [False, True])
def test_an_undone_merge_leaves_stages_and_their_dates_as_they_were(session, shop, run_value, everybody):
    kept, gone = shop.people(2)
    shop.order(kept)
    shop.order(gone)
    with transaction():
        recompute_everybody()
    before = whole(session, kept, gone)
    with shifted(timedelta(hours=1)), transaction():
        merged = merge(kept, gone, "apikey:1")
    with shifted(timedelta(hours=2)):
        run_value()
    assert history(session, kept) == [(None, "first_purchase"), ("first_purchase", "repeat")]
    with shifted(timedelta(hours=3)), transaction():
        unmerge(merged, "apikey:1")
    for _ in range(2):
        with shifted(timedelta(hours=4)):
            if everybody:
                with transaction():
                    recompute_everybody()
            run_value()
        assert whole(session, kept, gone) == before


def test_who_bought_more_during_an_undone_merge_moves_on_from_where_they_were(session, shop, run_value):
    kept, gone = shop.people(2)
    with transaction():
        recompute_everybody()
    with transaction():
        merged = merge(kept, gone, "apikey:1")
    shop.order(kept)
    with transaction():
        publish(OrdersChanged((kept,)))
    run_value()
    with transaction():
        unmerge(merged, "apikey:1")
    run_value()
    assert stages(session) == {kept: "first_purchase", gone: "lead"}
    assert history(session, kept) == [(None, "lead"), ("lead", "first_purchase")]
    assert history(session, gone) == [(None, "lead")]


def test_of_two_merges_the_one_that_stands_keeps_what_it_brought(session, shop, run_value):
    kept, one, other = shop.people(3)
    for person in (kept, one, other):
        shop.order(person)
    with transaction():
        recompute_everybody()
    with transaction():
        undone = merge(kept, one, "apikey:1")
    run_value()
    with transaction():
        merge(kept, other, "apikey:1")
    run_value()
    with transaction():
        unmerge(undone, "apikey:1")
    run_value()
    assert stages(session) == {kept: "repeat", one: "first_purchase"}
    assert history(session, kept) == [(None, "first_purchase"), ("first_purchase", "repeat")]


def test_a_new_customer_is_a_lead_in_the_portrait_at_once(session, api, run_value):
    with transaction():
        customer = ensure_customers(["wm1"])["wm1"]
    run_value()
    shown = api.get(f"/api/v1/customers/{customer}").json["value"]
    assert shown["rfm"] is None
    assert shown["lifecycle"]["stage"] == "lead"


def test_a_limited_key_sees_its_own_customers_only(session, shop, api_with):
    people = shop.people(2)
    shop.order(people[0])
    with transaction():
        recompute_everybody()
    limited, unlimited = api_with("value:read", staff_ids=[1]), api_with("value:read")
    for path in ("/api/v1/value/rfm", "/api/v1/value/lifecycle", "/api/v1/value/rfm/cells"):
        assert limited.get(path).json["items"] == []
        assert unlimited.get(path).json["items"] != []
    assert limited.get(f"/api/v1/people/{people[0]}/value").status_code == 404
    assert {stage["people"] for stage in limited.get("/api/v1/value/lifecycle/stages").json["items"]} == {0}
    assert limited.put("/api/v1/value/lifecycle/stages", json={"stages": []}).status_code == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "lead"}, "stages.1.key"),
        ({"orders_min": 3, "orders_max": 2}, "stages.1.orders_max"),
        ({"enters_from": ["nowhere"]}, "stages.1.enters_from"),
        ({"days_min": -1}, "stages"),
        ({"colour": "red"}, "stages"),
    ],
)
def test_wrong_stages_are_refused_by_path(api, change, field):
    own = {"key": "own", "name_zh": "自有", "name_en": "own", **change}
    lead = {"key": "lead", "name_zh": "潜客", "name_en": "lead"}
    answer = api.put("/api/v1/value/lifecycle/stages", json={"stages": [lead, own]})
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.json["fields"])


def test_a_stage_stays_while_somebody_names_it(api, session):
    leaf = {"kind": "stage", "stages": ["loyal"]}
    group = api.post("/api/v1/tag-groups", json={"name": "g", "tags": [{"name": "t"}]})
    rule = {"name": "r", "condition": {"not": leaf}, "add_tag_ids": [group.json["tags"][0]["id"]]}
    audience = {"name": "a", "condition": {"all": [leaf]}}
    message = {"name": "b", "kind": "customers", "text": "hi", "audience": {"condition": leaf}}
    made = [
        api.post(f"/api/v1/{path}", json=body).json["id"]
        for path, body in (("rules", rule), ("audiences", audience), ("broadcasts", message))
    ]
    kept = [one for one in STAGES if one["key"] != "loyal"]
    refused = api.put("/api/v1/value/lifecycle/stages", json={"stages": kept})
    assert (refused.status_code, refused.json["code"]) == (409, "stage-in-use")
    for told in (f"rule {made[0]} (r)", f"audience {made[1]} (a)", f"broadcast {made[2]} (b)"):
        assert told in refused.json["detail"]
    assert session.scalar(text("SELECT stages FROM value_settings")) is None, "nothing was changed"
    others = [one for one in STAGES if one["key"] != "repeat"]
    assert api.put("/api/v1/value/lifecycle/stages", json={"stages": others}).status_code == 200


def test_a_plan_to_hand_over_customers_keeps_its_stage(api, session):
    from tests.tags.conftest import make_world

    world = make_world()
    share = {"condition": {"kind": "stage", "stages": ["lost"]}, "members": [{"staff_id": world.staff().id}]}
    body = {
        "kind": "on_job",
        "from_staff_id": world.staff().id,
        "what": "customers",
        "rule": {"shares": [share]},
    }
    plan = api.post("/api/v1/transfers/plans", json=body)
    assert plan.status_code == 201, plan.json
    kept = [one for one in STAGES if one["key"] != "lost"]
    refused = api.put("/api/v1/value/lifecycle/stages", json={"stages": kept})
    assert f"transfer_plan {plan.json['id']}" in refused.json["detail"]
