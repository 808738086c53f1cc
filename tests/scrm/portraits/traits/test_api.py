"""Traits through the API: made, worked out, kept up to date, shown, and refused when they make no sense."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from scrm.behaviour.models import EventType
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import subscribe
from scrm.kernel.turns import place_of
from scrm.people.service.merging import merge, unmerge
from scrm.portraits.events import TraitsChanged
from scrm.portraits.traits import jobs

SPENT = {
    "source": "order_lines", "measure": "sum", "field": "amount",
    "filters": [{"field": "currency", "op": "eq", "value": "CNY"}], "window_days": 30,
}  # fmt: skip
CATEGORY = {"source": "order_lines", "measure": "most_frequent", "field": "category"}
VIEWS = {"source": "events", "event_type": "viewed", "measure": "count"}


@pytest.fixture
def make(api):
    kind = {
        "key": "viewed", "name_zh": "浏览", "name_en": "viewed",
        "properties": [
            {"key": key, "type": kind, "name_zh": key, "name_en": key, "required": False}
            for key, kind in (("seconds", "number"), ("page", "text"), ("parts", "list"))
        ],
    }  # fmt: skip
    assert api.post("/api/v1/event-types", json=kind).status_code == 201

    def trait(key, definition):
        body = {"key": key, "name_zh": key, "name_en": key, "definition": definition}
        return api.post("/api/v1/traits", json=body)

    return trait


@pytest.fixture
def buy(api):
    def order(number, member="M100001", status="paid", amount="10", product="p1", days=0):
        row = {
            "source_id": f"o{number}", "identities": {"external_userid": member}, "amount": amount, "currency": "CNY",
            "history": [{"status": status, "at": (utcnow() - timedelta(days=days)).isoformat()}],
            "lines": [{"product": product, "quantity": 1, "amount": amount}],
        }  # fmt: skip
        answer = api.post("/api/v1/orders:batch", json={"source": "mall", "orders": [row]})
        assert answer.json["refused"] == 0, answer.json
        jobs.compute_wanted()

    return order


def values(api, trait_id):
    return [item["value"] for item in api.get(f"/api/v1/traits/{trait_id}/values").json["items"]]


def test_a_trait_is_worked_out_and_follows_orders_products_and_time(api, make, buy):
    product = {"source_id": "p1", "name": "Tea", "category": "drinks"}
    api.post("/api/v1/products:batch", json={"source": "mall", "products": [product]})
    buy(1, amount="10.50")
    spent, category = make("spent", SPENT).json["id"], make("category", CATEGORY).json["id"]
    assert (values(api, spent), values(api, category)) == ([], [])
    jobs.apply_definitions()
    assert (values(api, spent), values(api, category)) == (["10.5"], ["drinks"])
    buy(2, days=29)
    buy(3, status="placed")
    assert values(api, spent) == ["20.5"]
    api.post("/api/v1/products:batch", json={"source": "mall", "products": [{**product, "category": "tea"}]})
    jobs.compute_wanted()
    assert values(api, category) == ["tea"]
    with shifted(timedelta(days=3)):
        jobs.compute_everything()
        assert values(api, spent) == ["10.5"]


def test_the_nights_work_on_traits_goes_on_behind_the_last_one_after_a_lost_turn(
    api, make, buy, redis, monkeypatch
):
    buy(1, days=29)
    traits = [make(key, SPENT).json["id"] for key in ("a", "b")]
    jobs.apply_definitions()
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0)
    with shifted(timedelta(days=3)):
        for left in ([[], ["10"]], [[], []], [[], []]):
            jobs.compute_everything()
            assert [values(api, one) for one in traits] == left
            redis.flushdb()  # the turn that follows is lost with its wake-up
    assert place_of(jobs.compute_everything) == 0


def test_a_changed_definition_is_worked_out_anew(api, make, buy):
    buy(1)
    trait = make("spent", SPENT).json["id"]
    jobs.apply_definitions()
    change = {"definition": CATEGORY | {"field": "product"}}
    changed = api.patch(f"/api/v1/traits/{trait}", json=change).json
    assert changed["applied_at"] < changed["changed_at"]
    jobs.apply_definitions()
    assert values(api, trait) == ["p1"]
    renamed = api.patch(f"/api/v1/traits/{trait}", json={"name_en": "favourite"}).json
    assert (renamed["name_en"], renamed["applied_at"]) == ("favourite", renamed["changed_at"])


def test_the_portrait_and_the_person_show_traits(api, make, buy, session):
    with transaction():
        customer = ensure_customers(["wm1"])["wm1"]
    buy(1, member="wm1")
    make("spent", SPENT)
    jobs.apply_definitions()
    shown = api.get(f"/api/v1/customers/{customer}").json
    assert shown["traits"] == {"spent": "10.0000"}
    (item,) = api.get(f"/api/v1/people/{shown['person']['id']}/traits").json["items"]
    assert (item["key"], item["value"]) == ("spent", "10")


def test_a_merge_and_its_undoing_are_followed(api, make, buy, session):
    buy(1, member="wm1")
    buy(2, member="wm2", amount="5")
    spent = make("spent", SPENT).json["id"]
    jobs.apply_definitions()
    first, second = session.scalars(text("SELECT id FROM people ORDER BY id")).all()
    with transaction():
        merged = merge(first, second, "apikey:1")
    jobs.compute_wanted()
    assert values(api, spent) == ["15"]
    with transaction():
        unmerge(merged, "apikey:1")
    jobs.compute_wanted()
    assert sorted(values(api, spent)) == ["10", "5"]


def test_changes_are_told_with_person_and_trait(api, make, buy):
    heard, on = [], [True]

    @subscribe(TraitsChanged)
    def hear(events):
        if on:
            heard.extend(events)

    trait = make("spent", SPENT).json["id"]
    jobs.apply_definitions()
    buy(1)
    jobs.compute_wanted()
    on.clear()
    assert [(len(event.person_ids), event.trait_ids) for event in heard] == [(1, (trait,))]


def test_a_property_that_went_stops_its_trait_and_not_the_others(api, make, buy, session):
    trait = make("longest", VIEWS | {"measure": "max", "field": "seconds"}).json["id"]
    spent = make("spent", SPENT).json["id"]
    session.query(EventType).update({"properties": []})
    jobs.apply_definitions()
    buy(1)
    assert "seconds" not in api.get(f"/api/v1/traits/{trait}").json["problem"]
    assert api.get(f"/api/v1/traits/{spent}").json["problem"] is None
    assert values(api, spent) == ["10"]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (VIEWS | {"event_type": "nothing"}, "definition.event_type"),
        (VIEWS | {"measure": "sum"}, "definition.field"),
        (VIEWS | {"measure": "sum", "field": "page"}, "definition.field"),
        (VIEWS | {"measure": "max", "field": "page"}, "definition.field"),
        (VIEWS | {"measure": "first", "field": "parts"}, "definition.field"),
        (VIEWS | {"filters": [{"field": "parts", "op": "ne", "value": "a"}]}, "definition.filters.0.op"),
        (VIEWS | {"field": "page"}, "definition.field"),
        (VIEWS | {"filters": [{"field": "seconds", "op": "eq", "value": "1"}]}, "definition.filters.0.value"),
        (VIEWS | {"filters": [{"field": "page", "op": "in", "value": "a"}]}, "definition.filters.0.value"),
        (VIEWS | {"filters": [{"field": "at", "op": "gt", "value": "now"}]}, "definition.filters.0.value"),
        (SPENT | {"filters": []}, "definition.filters"),
        (SPENT | {"event_type": "viewed"}, "definition.event_type"),
        (SPENT | {"window_days": 0}, "definition"),
        (SPENT | {"colour": "red"}, "definition"),
    ],
)
def test_definitions_that_make_no_sense_are_refused_by_path(make, definition, field):
    answer = make("wrong", definition)
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.json["fields"]), answer.json


def test_items_of_lists_count_one_by_one(api, make):
    def view(number, member, *parts):
        row = {
            "source_id": f"e{number}",
            "type": "viewed",
            "at": utcnow().isoformat(),
            "properties": {"parts": parts},
        }
        row["identities"] = {"external_userid": member}
        assert api.post("/api/v1/events:batch", json={"source": "s", "events": [row]}).json["refused"] == 0

    view(1, "wm1", "tea", "gift", "tea")
    view(2, "wm1", "gift")
    view(3, "wm2")
    of_parts = {
        "all": {"measure": "unique_list", "field": "parts"},
        "most": {"measure": "most_frequent", "field": "parts"},
        "kinds": {"measure": "unique_count", "field": "parts"},
        "gifts": {"measure": "count", "filters": [{"field": "parts", "op": "eq", "value": "gift"}]},
        "drinks": {
            "measure": "count",
            "filters": [{"field": "parts", "op": "in", "value": ["tea", "coffee"]}],
        },
    }
    made = {key: make(key, VIEWS | more).json["id"] for key, more in of_parts.items()}
    jobs.apply_definitions()
    found = {key: values(api, trait) for key, trait in made.items()}
    assert found == {
        "all": [["gift", "tea"]],
        "most": ["gift"],
        "kinds": ["2"],
        "gifts": ["2"],
        "drinks": ["1"],
    }


def test_a_trait_goes_with_its_values_unless_somebody_reads_it(api, make, buy, session):
    buy(1)
    trait = make("spent", SPENT).json["id"]
    jobs.apply_definitions()
    leaf = {"kind": "trait", "trait_id": trait, "op": "gte", "value": 5}
    condition = {"schema_version": 2, "not": {"any": [leaf]}}
    audience = api.post("/api/v1/audiences", json={"name": "big spenders", "condition": condition}).json["id"]
    group = api.post("/api/v1/tag-groups", json={"name": "g", "tags": [{"name": "t"}]})
    tag = group.json["tags"][0]["id"]
    rule = api.post("/api/v1/rules", json={"name": "spends", "condition": leaf, "add_tag_ids": [tag]}).json[
        "id"
    ]
    refused = api.delete(f"/api/v1/traits/{trait}")
    assert (refused.status_code, refused.json["code"]) == (409, "trait-in-use")
    assert f"rule {rule} (spends), audience {audience} (big spenders)" in refused.json["detail"]
    assert api.delete(f"/api/v1/audiences/{audience}").status_code == 204
    assert api.delete(f"/api/v1/traits/{trait}").status_code == 409
    assert api.delete(f"/api/v1/rules/{rule}").status_code == 204
    assert api.delete(f"/api/v1/traits/{trait}").status_code == 204
    assert api.get(f"/api/v1/traits/{trait}").status_code == 404
    assert session.scalar(text("SELECT count(*) FROM trait_values")) == 0


def test_a_broadcast_that_is_not_sent_yet_keeps_its_trait(api, make):
    trait = make("views", VIEWS).json["id"]
    leaf = {"kind": "trait", "trait_id": trait, "op": "gte", "value": 5}
    body = {"name": "b", "kind": "customers", "text": "hi", "audience": {"condition": leaf}}
    made = api.post("/api/v1/broadcasts", json=body)
    assert made.status_code == 201, made.json
    assert f"broadcast {made.json['id']} (b)" in api.delete(f"/api/v1/traits/{trait}").json["detail"]


def test_a_key_is_there_once(make):
    assert make("views", VIEWS).status_code == 201
    assert make("views", VIEWS).status_code == 409


def test_a_limited_key_sees_values_of_its_own_customers_only(make, buy, api_with):
    buy(1)
    trait = make("spent", SPENT).json["id"]
    jobs.apply_definitions()
    path = f"/api/v1/traits/{trait}/values"
    assert len(api_with("traits:read").get(path).json["items"]) == 1
    assert api_with("traits:read", staff_ids=[1]).get(path).json["items"] == []
    assert api_with("traits:read").patch(f"/api/v1/traits/{trait}", json={}).status_code == 403
