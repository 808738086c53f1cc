"""Transfers over HTTP: permissions, data scope, once-only creation, and what people see."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.staff.models import Department
from scrm.transfers.models import TransferPlan
from tests.scrm.broadcasts.population import follow, make_customers, make_staff

BASE = "/api/v1/transfers"


@pytest.fixture
def people(session):
    """Ann with 3 customers, Bob, Cid, and Zoe who left 4 days ago with 2."""
    staff = make_staff(session, "ann", "bob", "cid", "zoe")
    customers = make_customers(session, *[f"wm{number}" for number in range(5)])
    for number, customer in enumerate(customers):
        follow(session, staff[0 if number < 3 else 3], customer)
    staff[3].left_at, staff[3].status = utcnow() - timedelta(days=4, hours=1), 5
    session.add(Department(id=1, name="root"))
    session.flush()
    return staff, customers


def plan_body(staff, **more):
    return {
        "kind": "on_job", "from_staff_id": staff[0].id, "what": "customers",
        "rule": {"shares": [{"members": [{"staff_id": staff[1].id}, {"staff_id": staff[2].id, "weight": 2}]}]}, **more,
    }  # fmt: skip


def made(api, staff, **more) -> dict:
    answer = api.post(f"{BASE}/plans", json=plan_body(staff, **more))
    assert answer.status_code == 201, answer.json
    return answer.json


def test_a_plan_from_draft_to_its_items(api, people):
    staff, _ = people
    plan = made(api, staff, message="您好", copy_tags=True)
    assert (plan["state"], plan["from_userid"], plan["totals"], plan["what"]) == (
        "draft",
        "ann",
        {},
        "customers",
    )
    shown = api.get(f"{BASE}/plans/{plan['id']}/preview").json
    assert (shown["customers"], shown["calls"], shown["frozen"]) == (3, 2, False)
    assert [(each["userid"], each["customers"]) for each in shown["receivers"]] == [("cid", 2), ("bob", 1)]
    active = api.post(f"{BASE}/plans/{plan['id']}/activate").json
    assert (active["state"], active["totals"]) == ("active", {"planned": 3})
    assert api.post(f"{BASE}/plans/{plan['id']}/activate").status_code == 409
    items = api.get(f"{BASE}/plans/{plan['id']}/items", query_string={"limit": 2}).json
    assert len(items["items"]) == 2
    rest = api.get(
        f"{BASE}/plans/{plan['id']}/items", query_string={"limit": 2, "cursor": items["next_cursor"]}
    ).json
    assert (len(rest["items"]), rest["next_cursor"]) == (1, None)
    ids = [item["id"] for item in items["items"]]
    out = api.post(f"{BASE}/plans/{plan['id']}/items/take-out", json={"item_ids": ids[:1]})
    assert out.json == {"changed": 1}
    moved = api.post(
        f"{BASE}/plans/{plan['id']}/items/assign", json={"item_ids": ids, "to_staff_id": staff[1].id}
    )
    assert moved.json == {"changed": 2}
    assert api.post(f"{BASE}/plans/{plan['id']}/pause").json["state"] == "paused"
    cancelled = api.post(f"{BASE}/plans/{plan['id']}/cancel").json
    assert (cancelled["state"], cancelled["totals"]) == ("cancelled", {"cancelled": 3})
    results = api.get(f"{BASE}/plans/{plan['id']}/results").json
    assert (results["totals"], results["open"]) == ({"cancelled": 3}, 0)
    assert results["reasons"][0]["words"]["zh"] == "计划已取消"
    assert api.delete(f"{BASE}/plans/{plan['id']}").status_code == 409


def test_items_say_why_in_words(api, people, session):
    staff, customers = people
    half = session.query(Follow).filter_by(customer_id=customers[0].id).one()
    half.half_added_at = utcnow()
    session.flush()
    plan = made(api, staff)
    api.post(f"{BASE}/plans/{plan['id']}/activate")
    (item,) = api.get(f"{BASE}/plans/{plan['id']}/items", query_string={"state": "failed"}).json["items"]
    assert (item["external_userid"], item["reason"]) == ("wm0", "half_relation")
    assert "未回添加" in item["words"]["zh"]


def test_creating_twice_with_one_key_makes_one_plan(api, people, session):
    staff, _ = people
    answers = [
        api.post(f"{BASE}/plans", json=plan_body(staff), headers={"Idempotency-Key": "k1"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert session.query(TransferPlan).count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"from_staff_id": 10**6}, "from_staff_id"),
        ({"rule": {"shares": []}}, "rule.shares"),
        ({"rule": {"shares": [{}]}}, "rule.shares.0"),
        ({"rule": {"shares": [{"members": [{"staff_id": 10**6}]}]}}, "rule.shares.0.members"),
        (
            {"rule": {"shares": [{"manager": True, "condition": {"kind": "nonsense"}}]}},
            "rule.shares.0.condition.kind",
        ),
        ({"message": "长" * 201}, "message"),
        ({"kind": "resigned"}, "kind"),
        ({"pairs": [{"customer_id": 1, "to_staff_id": 1}]}, "pairs"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_wrong_is_named(api, people, changes, field):
    staff, _ = people
    answer = api.post(f"{BASE}/plans", json=plan_body(staff, **changes))
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.json["fields"]), answer.json


def test_pairs_by_hand_and_as_csv(api, people):
    staff, customers = people
    pairs = [{"customer_id": customers[0].id, "to_staff_id": staff[1].id}]
    plan = made(api, staff, rule=None, pairs=pairs)
    assert api.get(f"{BASE}/plans/{plan['id']}/preview").json["customers"] == 1
    wrong = api.post(
        f"{BASE}/plans",
        json=plan_body(
            staff, rule=None, pairs=[{"customer_id": customers[4].id, "to_staff_id": staff[1].id}]
        ),
    )
    assert wrong.status_code == 422
    content = "external_userid,to_userid\nwm1,bob\nwm2,cid\nwm4,bob\n"
    tried = api.post(f"{BASE}/plans/{plan['id']}/import", json={"csv": content, "dry_run": True}).json
    assert (tried["accepted"], tried["rejected"]) == (2, 1)
    assert tried["problems"] == [{"line": 4, "problem": "no customer of the member who hands over"}]
    assert api.get(f"{BASE}/plans/{plan['id']}/preview").json["customers"] == 1
    api.post(f"{BASE}/plans/{plan['id']}/import", json={"csv": content})
    assert api.get(f"{BASE}/plans/{plan['id']}/preview").json["customers"] == 2


def test_a_draft_can_be_changed_and_forgotten(api, people):
    staff, _ = people
    plan = made(api, staff)
    changed = api.patch(f"{BASE}/plans/{plan['id']}", json={"message": "再见", "what": "both"})
    assert (changed.status_code, changed.json["message"], changed.json["what"]) == (200, "再见", "both")
    assert api.delete(f"{BASE}/plans/{plan['id']}").status_code == 204
    assert api.get(f"{BASE}/plans/{plan['id']}").status_code == 404


def test_who_left_is_listed_with_age_and_customers(api, people):
    from scrm.transfers.service.unassigned import collect_own

    staff, _ = people
    collect_own()
    (row,) = api.get(f"{BASE}/unassigned").json["items"]
    assert (row["userid"], row["age_days"], row["customers"], row["customers_unplanned"]) == ("zoe", 4, 2, 2)
    listed = api.get(f"{BASE}/unassigned/customers", query_string={"staff_id": staff[3].id}).json["items"]
    assert [(each["external_userid"], each["planned"]) for each in listed] == [("wm4", False), ("wm3", False)]


def test_a_limited_key_sees_and_moves_only_what_lies_in_its_scope(api, api_with, people):
    staff, _ = people
    from scrm.transfers.service.unassigned import collect_own

    collect_own()
    plan = made(api, staff)
    mine = api_with("transfers:read", "transfers:write", staff_ids=[staff[1].id, staff[2].id])
    assert mine.get(f"{BASE}/plans").json["items"] == []
    assert mine.get(f"{BASE}/plans/{plan['id']}").status_code == 404
    assert mine.post(f"{BASE}/plans/{plan['id']}/activate").status_code == 404
    assert mine.get(f"{BASE}/unassigned").json["items"] == []
    assert mine.get(f"{BASE}/unassigned/customers").json["items"] == []
    assert mine.post(f"{BASE}/plans", json=plan_body(staff)).status_code == 422
    half = api_with("transfers:read", "transfers:write", staff_ids=[staff[0].id, staff[1].id])
    refused = half.post(f"{BASE}/plans", json=plan_body(staff))
    assert "rule.shares.0.members" in refused.json["fields"]
    assert half.put(f"{BASE}/defaults/1", json={"rule": {"shares": [{"manager": True}]}}).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "plans"),
        ("post", "plans"),
        ("get", "unassigned"),
        ("get", "defaults"),
        ("put", "defaults/1"),
        ("post", "plans/1/activate"),
    ],
)
def test_without_the_permission_nothing_is_shown_or_done(api_with, session, method, path):
    nobody = api_with("customers:read")
    assert getattr(nobody, method)(f"{BASE}/{path}", json={} if method != "get" else None).status_code == 403


def test_defaults_of_departments(api, people):
    staff, _ = people
    body = {"rule": {"shares": [{"members": [{"staff_id": staff[1].id}]}]}, "activate": True}
    put = api.put(f"{BASE}/defaults/1", json=body)
    assert (put.status_code, put.json["activate"], put.json["what"]) == (200, True, "both")
    assert api.put(f"{BASE}/defaults/1", json={**body, "activate": False}).json["activate"] is False
    assert api.put(f"{BASE}/defaults/77", json=body).status_code == 422
    assert len(api.get(f"{BASE}/defaults").json["items"]) == 1
    assert api.delete(f"{BASE}/defaults/1").status_code == 204
    assert api.delete(f"{BASE}/defaults/1").status_code == 404
