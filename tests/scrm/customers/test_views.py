"""Customers in the API: lists in scope, filters, remarks through the ledger."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from scrm.customers.models import Customer, Follow
from scrm.customers.service.details import CustomerSeen, FollowSeen, apply_details
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.service import ensure_staff
from scrm.wecom.effects import settled
from scrm.wecom.models import Effect, EffectState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def people(session):
    with transaction():
        apply_details(
            [
                CustomerSeen(
                    "wm1", {"name": "Li Lei", "type": 1}, (FollowSeen("zs", NOON, remark="L", state="c1"),)
                ),
                CustomerSeen("wm2", {"name": "韩梅梅"}, (FollowSeen("ls", NOON), FollowSeen("zs", NOON))),
                CustomerSeen("wm3", {"name": "li_ming"}),
            ],
            NOON,
        )
    customers = {c.external_userid: c.id for c in session.scalars(select(Customer))}
    return {**customers, **ensure_staff(["zs", "ls"])}


def listed(client, query=""):
    return sorted(item["external_userid"] for item in client.get(f"/api/v1/customers?{query}").json["items"])


def test_customers_are_listed_and_filtered(api, people):
    assert listed(api) == ["wm1", "wm2", "wm3"]
    assert listed(api, "q=LI") == ["wm1", "wm3"]
    assert listed(api, "q=li_") == ["wm3"]
    assert listed(api, "q=韩") == ["wm2"]
    assert listed(api, f"staff_id={people['ls']}") == ["wm2"]
    assert listed(api, f"staff_id={people['zs']}&status=active") == ["wm1", "wm2"]
    assert listed(api, "status=half") == []
    assert listed(api, "external_userid=wm1") == ["wm1"]
    (item,) = api.get("/api/v1/customers?external_userid=wm1").json["items"]
    follow = item["follows"][0]
    assert (follow["userid"], follow["status"], follow["remark"], follow["state"]) == (
        "zs",
        "active",
        "L",
        "c1",
    )


def test_a_limited_key_sees_customers_with_an_active_follow_of_its_staff(api_with, people, session):
    client = api_with("customers:read", staff_ids=[people["zs"]])
    assert listed(client) == ["wm1", "wm2"]
    session.execute(
        update(Follow).where(Follow.customer_id == people["wm1"]).values(deleted_by_staff_at=NOON)
    )
    assert listed(client) == ["wm2"]
    assert listed(api_with("customers:read", staff_ids=[])) == []


def test_a_remark_is_planned_and_becomes_a_fact_when_wecom_took_it(api, people, session):
    path = f"/api/v1/customers/{people['wm1']}/follows/{people['zs']}"
    answer = api.patch(path, json={"remark": "老李", "description": ""})
    assert answer.status_code == 202
    effect = session.get(Effect, answer.json["effect_id"])
    assert (effect.kind, effect.payload) == (
        "remark",
        {"userid": "zs", "external_userid": "wm1", "remark": "老李", "description": ""},
    )
    follow = session.scalars(select(Follow).where(Follow.customer_id == people["wm1"])).one()
    assert follow.remark == "L"
    with transaction():
        effect.state = EffectState.CONFIRMED
        session.flush()
        publish(settled(effect))
    session.expire_all()
    assert (follow.remark, follow.description) == ("老李", "")
    assert session.get(Customer, people["wm1"]).refresh_wanted_at is not None


@pytest.mark.parametrize("phone", ["abc", "1", "", "139\n", "１３９", "139x", "+-()"])
def test_a_phone_of_a_remark_is_one(api, people, phone):
    path = f"/api/v1/customers/{people['wm1']}/follows/{people['zs']}"
    refused = api.patch(path, json={"remark_mobiles": ["+86 (21) 6888-0000", phone]})
    assert refused.json["fields"].keys() == {"remark_mobiles.1"}


def test_company_and_phones_of_a_remark_reach_wecom_and_can_be_cleared(api, people, session):
    path = f"/api/v1/customers/{people['wm1']}/follows/{people['zs']}"
    for sent, payload, kept in [
        (["13912345670", "13912345671"], ["13912345670", "13912345671"], ["13912345670", "13912345671"]),
        ([], [""], []),
    ]:
        answer = api.patch(path, json={"remark_mobiles": sent, "remark_company": "示例公司"})
        effect = session.get(Effect, answer.json["effect_id"])
        assert (effect.payload["remark_mobiles"], effect.payload["remark_company"]) == (payload, "示例公司")
        with transaction():
            effect.state = EffectState.CONFIRMED
            session.flush()
            publish(settled(effect))
        session.expire_all()
        follow = session.scalars(select(Follow).where(Follow.customer_id == people["wm1"])).one()
        assert (follow.remark_mobiles, follow.remark_corp_name) == (kept, "示例公司")
    session.execute(update(Customer).values(type=2))
    session.expire_all()
    assert "remark_company" in api.patch(path, json={"remark_company": "示例公司"}).json["fields"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"remark_company": "x" * 21}, "remark_company"), ({"remark_mobiles": [""]}, "remark_mobiles"),
     ({"remark": "x" * 21}, "remark"), ({"description": "x" * 151}, "description"), ({}, "remark"),
     ({"remark": 5}, "remark"), ({"nickname": "x"}, "nickname")],
)  # fmt: skip
def test_remarks_over_wecoms_limits_are_refused(api, people, session, body, field):
    answer = api.patch(f"/api/v1/customers/{people['wm1']}/follows/{people['zs']}", json=body)
    assert answer.status_code == 422
    assert field in str(answer.json["fields"])
    assert session.scalars(select(Effect)).all() == []


def test_remarks_need_a_living_relation_in_scope(api, api_with, people, session):
    path = f"/api/v1/customers/{people['wm2']}/follows/{people['ls']}"
    assert (
        api_with("customers:write", staff_ids=[people["zs"]]).patch(path, json={"remark": "x"}).status_code
        == 404
    )
    assert api.patch("/api/v1/customers/1/follows/999", json={"remark": "x"}).status_code == 404
    session.execute(update(Follow).values(deleted_by_staff_at=NOON))
    assert api.patch(path, json={"remark": "x"}).status_code == 409
