"""Messages and automatic replies through the API: filters, data scope, limits on save."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from scrm.conversations.models import AutoReply, Channel, Direction
from scrm.conversations.service.messages import NewMessage, link_customers, store_messages
from scrm.customers.models import Customer, Follow
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.db import transaction
from scrm.portraits.models import TimelineEntry
from scrm.staff.models import Staff

URL = "/api/v1/auto-replies"
AT = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
RULE = {"name": "价格", "channel": "kf", "match": "contains", "keywords": ["价格"], "reply_text": "99 元"}


@pytest.fixture
def people(session):
    """Two members, and a customer of the first."""
    staff = [Staff(userid="zhang"), Staff(userid="li")]
    customer = Customer(external_userid="wmA")
    session.add_all([*staff, customer])
    session.flush()
    session.add(Follow(customer_id=customer.id, staff_id=staff[0].id, added_at=AT))
    session.commit()
    return staff[0].id, staff[1].id, customer.id


@pytest.fixture
def messages(people):
    """One message of the customer, one of a stranger, one of each member."""
    kf, app = Channel.KF, Channel.APP
    stored = [
        NewMessage(kf, "m1", AT, Direction.IN, "text", "你好", external_userid="wmA"),
        NewMessage(kf, "m2", AT, Direction.IN, "text", "陌生", external_userid="wmStranger"),
        NewMessage(app, "m3", AT, Direction.IN, "text", "老板", userid="ZHANG"),
        NewMessage(app, "m4", AT, Direction.EVENT, "enter_agent", userid="li"),
    ]
    with transaction():
        assert store_messages([*stored, *stored]) == {"m1", "m2", "m3", "m4"}
        assert store_messages(stored) == set()
    return stored


def listed(client, query=""):
    answer = client.get(f"/api/v1/messages{query}")
    assert answer.status_code == 200, answer.json
    return sorted(item["text"] or item["kind"] for item in answer.json["items"])


def test_messages_are_filtered(api, people, messages):
    zhang, _li, customer = people
    assert listed(api) == ["enter_agent", "你好", "老板", "陌生"]
    assert listed(api, f"?customer_id={customer}") == ["你好"]
    assert listed(api, f"?staff_id={zhang}") == ["老板"]
    assert listed(api, "?channel=app&direction=event") == ["enter_agent"]
    assert api.get("/api/v1/messages?channel=phone").status_code == 422


def test_messages_are_paged(api, messages):
    first = api.get("/api/v1/messages?limit=3").json
    second = api.get(f"/api/v1/messages?limit=3&cursor={first['next_cursor']}").json
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (3, 1, None)


def test_a_scope_shows_own_words_and_own_customers_only(api_with, people, messages):
    zhang, li, _customer = people
    assert listed(api_with("messages:read", staff_ids=[zhang])) == ["你好", "老板"]
    assert listed(api_with("messages:read", staff_ids=[li])) == ["enter_agent"]
    assert listed(api_with("messages:read", staff_ids=[])) == []


def test_messages_of_a_customer_outside_the_scope_are_not_there(api, api_with, people, messages):
    zhang, li, customer = people
    url = f"/api/v1/customers/{customer}/messages"
    assert [m["text"] for m in api.get(url).json["items"]] == ["你好"]
    assert api_with("messages:read", staff_ids=[zhang]).get(url).status_code == 200
    assert api_with("messages:read", staff_ids=[li]).get(url).status_code == 404
    assert api.get("/api/v1/customers/999999/messages").status_code == 404


def test_a_stranger_who_becomes_a_customer_brings_their_messages(api, session, messages):
    newcomer = Customer(external_userid="wmStranger")
    session.add(newcomer)
    session.flush()
    with transaction():
        assert link_customers([newcomer.id]) == 1
        assert link_customers() == 0
    assert listed(api, f"?customer_id={newcomer.id}") == ["陌生"]
    told = session.scalars(select(TimelineEntry.kind).where(TimelineEntry.customer_id == newcomer.id))
    assert told.all() == ["message.in"]


def test_a_stranger_whom_a_sync_names_first_brings_their_messages_at_once(api, messages):
    with transaction():
        stranger = ensure_customers(["wmStranger"])["wmStranger"]
    assert listed(api, f"?customer_id={stranger}") == ["陌生"]


def made(api, **values):
    answer = api.post(URL, json={**RULE, **values})
    assert answer.status_code == 201, answer.json
    return answer.json


def test_a_rule_is_made_read_changed_and_taken_away(api):
    hours = {"days": [1, 2, 3, 4, 5], "from": "09:00", "to": "18:00"}
    one = made(api, office_hours=hours, cooldown_seconds=60, priority=3)
    assert (one["office_hours"], one["answers"], one["enabled"]) == (hours, 0, True)
    assert api.get(f"{URL}/{one['id']}").json == one
    changed = api.patch(f"{URL}/{one['id']}", json={"enabled": False, "office_hours": None}).json
    assert (changed["enabled"], changed["office_hours"]) == (False, None)
    assert api.get(f"{URL}?enabled=true").json["items"] == []
    assert len(api.get(f"{URL}?channel=kf&match=contains").json["items"]) == 1
    assert api.delete(f"{URL}/{one['id']}").status_code == 204
    assert api.get(f"{URL}/{one['id']}").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"keywords": []}, "keywords"),
        ({"keywords": ["价格", "  "]}, "keywords.1"),
        ({"reply_text": "好" * 683}, "reply_text"),  # 2049 bytes
        ({"reply_text": ""}, "reply_text"),
        ({"reply_text": "  "}, "reply_text"),
        ({"reply_text": None}, "reply_text"),
        ({"match": "regex"}, "match"),
        ({"channel": "phone"}, "channel"),
        ({"cooldown_seconds": -1}, "cooldown_seconds"),
        ({"office_hours": {"days": [0], "from": "09:00", "to": "18:00"}}, "office_hours.days.0"),
        ({"office_hours": {"days": [], "from": "09:00", "to": "18:00"}}, "office_hours.days"),
        ({"office_hours": {"days": [1], "from": "9:00", "to": "18:00"}}, "office_hours.from"),
        ({"office_hours": {"days": [1], "from": "24:00", "to": "18:00"}}, "office_hours.from"),
        ({"office_hours": {"days": [1], "from": "09:00", "to": "24:01"}}, "office_hours.to"),
        ({"office_hours": {"days": [1], "from": "09:00", "to": "09:00"}}, "office_hours.to"),
        ({"office_hours": {"days": [1], "from": "09:00\n", "to": "18:00"}}, "office_hours.from"),
        ({"outside_office_hours": True}, "outside_office_hours"),
        ({"hand_over_to": "nobody"}, "hand_over_to"),
        ({"channel": "app", "hand_over_to": "pool"}, "hand_over_to"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_rules_are_refused_by_field(api, session, wrong, field):
    answer = api.post(URL, json={**RULE, **wrong})
    assert answer.status_code == 422
    assert field in answer.json["fields"]
    assert session.scalars(select(AutoReply)).all() == []


def test_a_rule_may_hand_over_without_a_text(api, people):
    assert made(api, reply_text=None, hand_over_to="pool")["hand_over_to"] == "pool"
    assert made(api, reply_text=None, hand_over_to="Zhang")["hand_over_to"] == "Zhang"


def test_a_change_may_not_leave_a_rule_without_an_answer(api):
    one = made(api)
    answer = api.patch(f"{URL}/{one['id']}", json={"reply_text": None})
    assert answer.status_code == 422
    assert api.get(f"{URL}/{one['id']}").json["reply_text"] == "99 元"


@pytest.mark.parametrize("path", ["messages", "auto-replies"])
def test_reading_needs_its_permission(session, api_with, path):
    assert api_with("groups:read").get(f"/api/v1/{path}").status_code == 403
