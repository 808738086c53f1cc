"""What people do and order, on the timelines of their customers: once only, and right after every change of who is who."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.db import transaction
from scrm.people.service.merging import merge, unmerge
from scrm.portraits.service import Entry, EntryKind, add_entries

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def send(api, session):
    """Send events and orders of customers by their external_userid, as another system would."""
    kind = {"key": "viewed", "name_zh": "浏览", "name_en": "viewed", "unknown_properties": "keep"}
    assert api.post("/api/v1/event-types", json=kind).status_code == 201

    def event(who, number, minutes=0):
        row = {
            "source_id": f"e{number}", "type": "viewed", "at": (NOON + timedelta(minutes=minutes)).isoformat(),
            "identities": who, "properties": {},
        }  # fmt: skip
        answer = api.post("/api/v1/events:batch", json={"source": "site", "events": [row]})
        assert answer.json["refused"] == 0, answer.json

    def order(who, number, **steps):
        row = {
            "source_id": f"o{number}", "identities": who, "amount": "5", "currency": "CNY",
            "history": [{"status": s, "at": (NOON + timedelta(minutes=m)).isoformat()} for s, m in steps.items()],
        }  # fmt: skip
        answer = api.post("/api/v1/orders:batch", json={"source": "mall", "orders": [row]})
        assert answer.json["refused"] == 0, answer.json

    return type("Send", (), {"event": staticmethod(event), "order": staticmethod(order)})


@pytest.fixture
def who(session):
    with transaction():
        return ensure_customers(["wm1", "wm2"])


def kinds(session, customer):
    found = "SELECT kind FROM timeline WHERE customer_id = :id ORDER BY at, kind"
    return list(session.scalars(text(found), {"id": customer}))


def person(session, customer):
    found = "SELECT person_id FROM customer_people WHERE customer_id = :id"
    return session.scalar(text(found), {"id": customer})


def check_counters(session):
    wrong = """SELECT c.customer_id FROM customer_counters c JOIN (SELECT customer_id, count(*) AS n, max(at) AS last
      FROM timeline GROUP BY customer_id) t USING (customer_id)
      WHERE (c.entries, c.last_entry_at) IS DISTINCT FROM (t.n, t.last)"""
    assert session.execute(text(wrong)).all() == []


def test_events_and_orders_are_entered_once(session, send, who):
    mine = {"external_userid": "wm1"}
    for _ in range(2):
        send.event(mine, 1)
        send.order(mine, 1, placed=1, paid=2)
    send.order(mine, 1, placed=1, paid=2, refunded=9)
    assert kinds(session, who["wm1"]) == ["event.done", "order.placed", "order.paid", "order.refunded"]
    assert kinds(session, who["wm2"]) == []
    check_counters(session)


def test_a_correction_of_an_event_moves_its_entry(session, send, who):
    send.event({"external_userid": "wm1"}, 1)
    send.event({"external_userid": "wm1"}, 2, minutes=3)
    send.event({"external_userid": "wm1"}, 1, minutes=7)
    send.event({"external_userid": "wm2"}, 2, minutes=3)
    assert [kinds(session, who[name]) for name in ("wm1", "wm2")] == [["event.done"], ["event.done"]]
    check_counters(session)


def test_who_acted_before_becoming_a_customer_gets_it_then(session, send):
    send.event({"external_userid": "wm7"}, 1)
    send.order({"external_userid": "wm7"}, 1, paid=2)
    with transaction():
        customer = ensure_customers(["wm7"])["wm7"]
    assert kinds(session, customer) == ["event.done", "order.paid"]
    check_counters(session)


def test_a_merge_shows_both_and_its_undoing_each_their_own(session, send, who):
    send.event({"external_userid": "wm1"}, 1)
    send.order({"external_userid": "wm2"}, 1, paid=2)
    first, second = (who[name] for name in ("wm1", "wm2"))
    with transaction():
        merged = merge(person(session, first), person(session, second), "apikey:1")
    assert kinds(session, first) == kinds(session, second) == ["event.done", "order.paid"]
    check_counters(session)
    with transaction():
        unmerge(merged, "apikey:1")
    assert (kinds(session, first), kinds(session, second)) == (["event.done"], ["order.paid"])
    check_counters(session)


def test_an_order_that_was_somebody_elses_leaves_the_wrong_timeline(session, send, who):
    send.order({"external_userid": "wm1"}, 1, paid=2)
    send.order({"external_userid": "wm2"}, 1, paid=2)
    assert (kinds(session, who["wm1"]), kinds(session, who["wm2"])) == ([], ["order.paid"])


def test_the_timeline_is_filtered_by_kinds_time_and_staff(api, session, who):
    customer = who["wm1"]
    named = [EntryKind.MESSAGE_IN, EntryKind.MESSAGE_OUT, EntryKind.ORDER_PAID, EntryKind.ORDER_PLACED]
    with transaction():
        add_entries(
            [
                Entry(customer, NOON + timedelta(hours=n), kind, {}, f"t:{n}", staff_id=n % 2)
                for n, kind in enumerate(named)
            ]
        )

    def shown(**query):
        answer = api.get(f"/api/v1/customers/{customer}/timeline", query_string=query)
        return [entry["kind"] for entry in answer.json["items"]]

    assert shown(kinds="order.,message.in") == ["order.placed", "order.paid", "message.in"]
    assert shown(kinds="order.paid", kind="message.out") == ["order.paid", "message.out"]
    assert shown(staff_id=1) == ["order.placed", "message.out"]
    hours = {name: (NOON + timedelta(hours=n)).isoformat() for name, n in (("from", 1), ("to", 3))}
    assert shown(**hours) == ["order.paid", "message.out"]
    wrong = api.get(f"/api/v1/customers/{customer}/timeline?from=yesterday")
    assert (wrong.status_code, list(wrong.json["fields"])) == (422, ["from"])


def test_ten_thousand_entries_do_not_make_a_page_slow(api, session, who):
    customer = who["wm1"]
    seed = """INSERT INTO timeline (at, customer_id, kind, details, source_key)
      SELECT now() - make_interval(mins => n), :id, CASE WHEN n % 999 = 0 THEN 'order.paid' ELSE 'message.in' END, '{}',
      's' || n FROM generate_series(1, 10000) n"""
    session.execute(text(seed), {"id": customer})
    for query in ("", "?kinds=order.", "?kinds=tag.added,broadcast."):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            assert api.get(f"/api/v1/customers/{customer}/timeline{query}").status_code == 200
            times.append(time.perf_counter() - started)
        assert min(times) < 1
