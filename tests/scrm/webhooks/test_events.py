"""What other systems hear of: every type comes from something that really happens, in the shape that is promised."""

from datetime import UTC, datetime, timedelta

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import event as sa_event
from sqlalchemy import text

from scrm.audiences.events import AudienceFilled, AudienceMembersChanged
from scrm.broadcasts.events import (
    BroadcastCancelled,
    BroadcastDelivered,
    BroadcastFinished,
    BroadcastFrozen,
)
from scrm.commerce.events import OrdersChanged, Step
from scrm.customers.events import (
    CustomerChanged,
    CustomersWritten,
    FollowAdded,
    FollowChanged,
    FollowLost,
    LostBy,
)
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft
from scrm.kernel import events as kernel_events
from scrm.kernel.db import db, transaction
from scrm.kernel.events import publish
from scrm.people.events import PeopleMerged, PeopleSplit, PersonChanged
from scrm.webhooks.service.catalogue import FAT, TYPES
from scrm.webhooks.service.endpoints import ping
from scrm.webhooks.service.noting import wanted
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import deliver_all, subscribe_to

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = Step(1, 2, "paid", NOON)
EVERYTHING = (
    FollowAdded(1, 2, 3, NOON),
    FollowLost(1, 2, 3, LostBy.CUSTOMER, NOON),
    FollowChanged(1, 2, 3),
    CustomerChanged(2, ("name", "avatar")),
    CustomersWritten((2, 3)),
    PersonChanged(1, ("phone",)),
    PeopleMerged(1, 2),
    PeopleSplit(1, 2),
    TagsChanged(2, (5,), (6,), "manual:apikey:1"),
    OrdersChanged((2,), (STEP,), frozenset({1}), (STEP,)),
    BroadcastFrozen(1),
    BroadcastFinished(1),
    BroadcastCancelled(1),
    BroadcastDelivered(1, 3, ((2, NOON),)),
    AudienceMembersChanged(1, (2, 3)),
    AudienceFilled(1, NOON),
    GroupChanged(1, "name", NOON),
    GroupJoined(1, 2, None, NOON),
    GroupLeft(1, 2, 3, NOON),
)


@pytest.fixture
def alone(monkeypatch):
    """Nobody else reacts: the rows that these events speak of are not there."""
    for kind, functions in list(kernel_events._subscribers.items()):
        ours = [each for each in functions if each.__module__ == "scrm.webhooks.subscribers"]
        monkeypatch.setitem(kernel_events._subscribers, kind, ours)


def heard(app, receiver):
    """(type, data) of what arrived since the last look, in the order of the sequence."""
    deliver_all(app)
    bodies = sorted(receiver.bodies(), key=lambda body: body["sequence"])
    receiver.requests.clear()
    return [(body["type"], body["data"]) for body in bodies]


def valid(body):
    Draft202012Validator(TYPES[body["type"]].schema()).validate(body)


def test_every_type_arrives_in_its_promised_shape(session, app, receiver, alone):
    id_, _ = subscribe_to(receiver.url, "*")
    with transaction():
        publish(*EVERYTHING)
        ping(id_)
    deliver_all(app)
    for body in receiver.bodies():
        valid(body)
    types = {body["type"] for body in receiver.bodies()}
    assert types == set(TYPES) - {"customer.restored"}  # needs a relation that was lost, see below


def test_the_schemas_are_schemas():
    for each in TYPES.values():
        Draft202012Validator.check_schema(each.schema())


def test_who_was_lost_and_comes_back_is_restored_and_not_added(session, app, receiver):
    subscribe_to(receiver.url, "customer.added", "customer.restored", "customer.lost")

    def at(minutes):
        return NOON + timedelta(minutes=minutes)

    for facts, service in (
        ([Add("zs", "wm1", at(0))], record_adds),
        ([Deletion("zs", "wm1", at(5), LostBy.STAFF)], record_deletions),
        ([Add("zs", "wm1", at(9))], record_adds),
    ):
        with transaction():
            service(facts)
    told = heard(app, receiver)
    assert [type_ for type_, _ in told] == ["customer.added", "customer.lost", "customer.restored"]
    assert [data["items"][0]["at"] for _, data in told] == [
        at(0).isoformat(),
        at(5).isoformat(),
        at(9).isoformat(),
    ]
    assert told[1][1]["items"][0]["by"] == "staff"


@pytest.fixture
def shop(api):
    def send(*rows):
        answer = api.post("/api/v1/orders:batch", json={"source": "mall", "orders": list(rows)})
        assert answer.json["refused"] == 0, answer.json

    return send


def order(*history, **more):
    return {
        "source_id": "o1",
        "history": [{"status": s, "at": f"2026-01-0{d}T10:00:00+08:00"} for s, d in history],
        **more,
    }


WHOSE = {"identities": {"phone": "13900001111"}, "amount": "49.80", "currency": "CNY"}


def test_an_order_and_each_of_its_statuses_are_told_once_whatever_comes_first(app, shop, receiver):
    subscribe_to(receiver.url, "order.*")
    shop(order(("placed", 1)))
    assert heard(app, receiver) == []  # nobody knows yet whose it is
    shop(order(("placed", 1), ("paid", 2), **WHOSE))
    (made, made_data), (stepped, data) = heard(app, receiver)
    assert (made, stepped) == ("order.created", "order.status_changed")
    assert [item["status"] for item in data["items"]] == ["placed", "paid"]
    assert made_data["items"][0]["order_id"] == data["items"][0]["order_id"]
    shop(order(("placed", 1), ("paid", 2), **WHOSE))
    assert heard(app, receiver) == []
    shop(order(("placed", 1), ("shipped", 3)))
    [(type_, data)] = heard(app, receiver)
    assert (type_, [item["status"] for item in data["items"]]) == ("order.status_changed", ["shipped"])
    shop(order(("placed", 1), **{**WHOSE, "amount": "60.00"}, updated_at="2026-02-01T00:00:00Z"))
    assert heard(app, receiver) == []


def test_fat_endpoints_get_persons_and_orders_as_they_are_when_it_is_sent(
    app, session, shop, receiver, make_receiver
):
    thin = make_receiver()
    subscribe_to(receiver.url, "customer.*", "order.*", payload="fat")
    subscribe_to(thin.url, "customer.*", "order.*")
    session.execute(text("INSERT INTO customers (external_userid, name) VALUES ('wm1', 'before')"))
    customer = session.scalar(text("SELECT id FROM customers"))
    shop(order(("placed", 1), **WHOSE))
    with transaction():
        publish(CustomerChanged(customer, ("name",)))
    session.execute(text("UPDATE customers SET name = 'after'"))
    deliver_all(app)
    fat = {body["type"]: body for body in receiver.bodies()}
    [person] = fat["customer.changed"]["data"]["customers"]
    assert (person["external_userid"], person["name"]) == ("wm1", "after")
    [bought] = fat["order.created"]["data"]["orders"]
    assert (bought["source_id"], bought["amount"], bought["currency"]) == ("o1", "49.8000", "CNY")
    assert (set(person), set(bought)) == (set(FAT["customers"]), set(FAT["orders"]))
    for body in fat.values():
        valid(body)
    plain = b"".join(each.body for each in thin.requests).decode()
    assert len(thin.requests) == 3
    assert not any(word in plain for word in ("wm1", "after", "before", "49.8", "customers", "orders"))
    kept = str(session.execute(text("SELECT * FROM webhook_events")).all())
    assert not any(word in kept for word in ("wm1", "before", "after", "49.8"))


def test_whether_anybody_wants_it_is_asked_once_in_a_transaction(session, receiver, alone):
    subscribe_to(receiver.url, "tag.given")
    asked = []

    def note(_connection, _cursor, statement, *_):
        if "webhook_endpoints" in statement:
            asked.append(statement)

    sa_event.listen(db.engine, "before_cursor_execute", note)
    try:
        with transaction():
            publish(*(event for event in EVERYTHING if not isinstance(event, TagsChanged)))
        assert len(asked) == 1
    finally:
        sa_event.remove(db.engine, "before_cursor_execute", note)


def test_a_new_endpoint_is_seen_by_the_next_transaction(session, receiver):
    with transaction():
        assert not wanted("tag.given")
    subscribe_to(receiver.url, "tag.*")
    with transaction():
        assert wanted("tag.given")
        assert not wanted("order.created")
