"""Batches of products and orders: versions, statuses in any order, lines, refusals."""

import gzip
from decimal import Decimal

import pytest
from sqlalchemy import text

from scrm.commerce import jobs
from scrm.commerce.events import OrdersChanged, ProductsChanged
from scrm.kernel import events as kernel_events
from scrm.kernel.events import subscribe

PLACED = {"status": "placed", "at": "2026-11-01T10:00:00+08:00"}
PAID = {"status": "paid", "at": "2026-11-01T10:05:00+08:00"}
SHIPPED = {"status": "shipped", "at": "2026-11-02T10:00:00+08:00"}


def rows(session, statement, **values):
    return [tuple(row) for row in session.execute(text(statement), values)]


@pytest.fixture
def told(monkeypatch):
    heard = []
    monkeypatch.setitem(kernel_events._subscribers, OrdersChanged, [heard.extend])
    return heard


def send(api, kind, *sent, source="mall"):
    answer = api.post(f"/api/v1/{kind}:batch", json={"source": source, kind: list(sent)})
    assert answer.status_code == 200, answer.json
    return answer.json


def order(source_id="o1", *history, **more):
    lines = [
        {"product": "p1", "quantity": 2, "amount": "39.80"},
        {"product": "p2", "name": "hat", "quantity": "0.5", "amount": 10},
    ]
    row = {
        "source_id": source_id,
        "history": list(history) or [PLACED],
        "identities": {"phone": "13900001111"},
        "amount": "49.80",
        "currency": "CNY",
        "shop": "Bund",
        "region": "Shanghai",
        "seller": "staff1",
        "lines": lines,
    }
    return row | more


def statuses(answer):
    return [one["status"] for one in answer["results"]]


def test_an_order_is_stored_with_lines_history_and_exact_amounts(api, session, told):
    assert statuses(send(api, "orders", order("o1", PLACED, PAID))) == ["created"]
    (listed,) = api.get("/api/v1/orders").json["items"]
    whole = api.get(f"/api/v1/orders/{listed['id']}").json
    assert (whole["amount"], whole["status"], whole["shop"]) == ("49.8000", "paid", "Bund")
    assert [line["amount"] for line in whole["lines"]] == ["39.8000", "10.0000"]
    assert [step["status"] for step in whole["history"]] == ["placed", "paid"]
    (one,) = told
    assert one.person_ids == (whole["person_id"],)
    assert [(step.order_id, step.status) for step in one.steps] == [
        (whole["id"], "placed"),
        (whole["id"], "paid"),
    ]


def test_the_same_again_changes_and_tells_nothing(api, session, told):
    send(api, "orders", order())
    del told[:]
    before = rows(session, "SELECT xmin, * FROM orders"), rows(session, "SELECT xmin, * FROM order_lines")
    assert statuses(send(api, "orders", order(), order())) == ["unchanged", "unchanged"]
    assert told == []
    assert before == (
        rows(session, "SELECT xmin, * FROM orders"),
        rows(session, "SELECT xmin, * FROM order_lines"),
    )


def test_rows_of_one_order_say_each_what_it_brought(api, session):
    paid, older = order("o1", PAID), order("o1", PLACED, amount="12")
    assert statuses(send(api, "orders", order(), paid, older, paid)) == [
        "created",
        "updated",
        "unchanged",
        "unchanged",
    ]
    again = order("o1", PAID, amount="50")
    shipped = {"source_id": "o1", "history": [PLACED, SHIPPED]}
    assert statuses(send(api, "orders", order(), again, shipped)) == ["unchanged", "updated", "updated"]
    assert rows(session, "SELECT status, amount FROM orders") == [("shipped", Decimal(50))]


@pytest.mark.parametrize(
    "amount",
    ["1_000", "１２", " 12 ", "1e3", "+5", ".5", "9e99999999999", "1" * 30, "0." + "1" * 30, "", True],
)
def test_an_amount_is_a_plain_decimal(api, session, amount):
    answer = send(api, "orders", order(amount=amount))
    assert answer["results"][0]["problem"].keys() == {"amount"}


@pytest.mark.parametrize("currency", ["ZZZ", "cny", "人民币", "CN", "CNY\n", 156])
def test_a_currency_that_nobody_knows_is_refused(api, session, currency):
    assert send(api, "orders", order(currency=currency))["results"][0]["problem"].keys() == {"currency"}
    assert (
        send(api, "products", {"source_id": "1", "name": "a", "price": "1", "currency": currency})["refused"]
        == 1
    )


def test_what_is_wrong_inside_is_not_called_missing_as_well(api, session):
    lost = order("o1", {"status": "lost", "at": PLACED["at"]}, identities={"phone": "1"})
    assert send(api, "orders", lost)["results"][0]["problem"].keys() == {
        "history.0.status",
        "identities.phone",
    }
    nobody = send(api, "orders", order(identities={}))["results"][0]["problem"]["identities"]
    assert nobody.startswith("must name somebody")


def test_a_compressed_body_is_refused_by_its_name(api, session):
    sent = gzip.compress(b'{"source": "mall", "orders": []}')
    answer = api.post("/api/v1/orders:batch", data=sent, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.json["detail"]
    plain = api.post(
        "/api/v1/orders:batch",
        json={"source": "mall", "orders": [order()]},
        headers={"Content-Encoding": "identity"},
    )
    assert plain.status_code == 200


def test_the_newest_status_wins_by_its_own_time_and_all_are_kept(api, session):
    send(api, "orders", order("o1", PLACED))
    assert statuses(send(api, "orders", {"source_id": "o1", "history": [SHIPPED]})) == ["updated"]
    assert statuses(send(api, "orders", {"source_id": "o1", "history": [PAID]})) == ["updated"]
    assert rows(session, "SELECT status, paid_at IS NOT NULL, shipped_at = status_at FROM orders") == [
        ("shipped", True, True)
    ]
    assert rows(session, "SELECT status FROM order_statuses ORDER BY at") == [
        ("placed",),
        ("paid",),
        ("shipped",),
    ]


def test_of_two_statuses_of_one_moment_the_later_stage_stands(api, session):
    send(api, "orders", order("o1", PLACED | {"at": PAID["at"]}, PAID))
    assert rows(session, "SELECT status FROM orders") == [("paid",)]


def test_a_status_may_come_before_its_order(api, session, told):
    send(api, "orders", {"source_id": "o1", "history": [SHIPPED]})
    assert rows(session, "SELECT person_id, amount, status FROM orders") == [(None, None, "shipped")]
    assert told == []
    assert statuses(send(api, "orders", order("o1", PLACED))) == ["updated"]
    assert rows(session, "SELECT amount, status, placed_at < status_at FROM orders") == [
        (Decimal("49.8000"), "shipped", True)
    ]
    assert [step.status for step in told[0].steps] == ["placed", "shipped"]


def test_an_older_version_changes_nothing_but_adds_its_statuses(api, session):
    send(api, "orders", order("o1", PAID, updated_at="2026-11-03T00:00:00Z", amount="10", lines=[]))
    assert statuses(send(api, "orders", order("o1", PLACED, updated_at="2026-11-02T00:00:00Z"))) == [
        "updated"
    ]
    assert rows(session, "SELECT amount, status, (SELECT count(*) FROM order_lines) FROM orders") == [
        (Decimal(10), "paid", 0)
    ]


def test_a_newer_version_replaces_amounts_and_lines(api, session, told):
    send(api, "orders", order())
    line = {"product": "p1", "quantity": 1, "amount": "19.90"}
    newer = order(amount="19.90", refunded_amount="5", lines=[line], updated_at="2026-11-05T00:00:00Z")
    assert statuses(send(api, "orders", newer)) == ["updated"]
    assert rows(session, "SELECT amount, refunded_amount FROM orders") == [(Decimal("19.9"), Decimal(5))]
    assert rows(session, "SELECT line_no, quantity FROM order_lines") == [(1, Decimal(1))]
    fewer = order(amount="19.90", refunded_amount="5", lines=[], updated_at="2026-11-05T00:00:00Z")
    assert statuses(send(api, "orders", fewer)) == ["updated"]


def test_an_order_that_turns_out_to_be_somebody_elses_is_told_of_both(api, session, told):
    send(api, "orders", order())
    send(api, "orders", order(identities={"phone": "13900002222"}, updated_at="2026-11-05T00:00:00Z"))
    assert len(told[1].person_ids) == 2


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"amount": "12.34567"}, "amount", "at most four decimals"),
        ({"amount": "-1"}, "amount", "not negative"),
        ({"amount": "1e400"}, "amount", "must be an amount"),
        ({"amount": 100000000000000}, "amount", "must be an amount"),
        ({"amount": True}, "amount", "must be an amount"),
        ({"currency": "yuan"}, "currency", "three letters"),
        ({"history": []}, "history", "list of 1 to 50"),
        ({"history": [{"status": "lost", "at": PLACED["at"]}]}, "history.0.status", "must be one of placed"),
        ({"identities": None}, "identities", "is missing"),
        ({"refunded_amount": "50"}, "refunded_amount", "not be more than amount"),
        (
            {"lines": [{"product": "p", "quantity": 0, "amount": 1}]},
            "lines.0.quantity",
            "must be more than 0",
        ),
        ({"identities": {"card": "11111"}}, "identities", "nothing that identifies"),
        ({"colour": 1}, "colour", "is unknown"),
    ],
)
def test_a_wrong_order_is_refused_by_name_and_the_others_are_stored(api, session, change, field, words):
    answer = send(api, "orders", order("o1") | change, order("o2"))
    assert statuses(answer) == ["refused", "created"]
    assert words in answer["results"][0]["problem"][field]


@pytest.mark.parametrize("sent", ["0.1", 0.1, "0.1000", "00.1"])
def test_amounts_are_exact_however_they_are_written(api, session, sent):
    send(api, "orders", order(amount=sent))
    assert rows(session, "SELECT amount FROM orders") == [(Decimal("0.1"),)]


def product(source_id="p1", **more):
    return {"source_id": source_id, "name": "shoe", "price": "19.90", "currency": "CNY"} | more


def test_products_are_stored_changed_and_left_alone(api, session):
    late = product(updated_at="2020-01-01T00:00:00Z", name="old shoe")
    assert statuses(send(api, "products", product())) == ["created"]
    assert statuses(send(api, "products", product(), late)) == ["unchanged", "unchanged"]
    assert statuses(send(api, "products", product(category="shoes"))) == ["updated"]
    assert rows(session, "SELECT name, category, price FROM products") == [("shoe", "shoes", Decimal("19.9"))]
    assert [one["name"] for one in api.get("/api/v1/products?category=shoes").json["items"]] == ["shoe"]


def test_a_price_needs_its_currency(api, session):
    answer = send(api, "products", product(currency=None))
    assert "price has one" in answer["results"][0]["problem"]["currency"]


def test_lines_find_their_product_whichever_comes_first(api, session):
    send(api, "products", product("p1"), product("p1", name="other"), source="till")
    send(api, "products", product("p2"))
    send(api, "orders", order())
    assert rows(session, "SELECT product_id IS NULL FROM order_lines ORDER BY line_no") == [(True,), (False,)]
    send(api, "products", product("p1"))
    found = "SELECT l.product_ref, p.source, p.source_id FROM order_lines l JOIN products p ON p.id = l.product_id ORDER BY 1"
    assert rows(session, found) == [("p1", "mall", "p1"), ("p2", "mall", "p2")]


def test_lines_that_missed_their_product_find_it_at_night(api, session):
    send(api, "products", product("p1"), product("p2"))
    send(api, "orders", order())
    session.execute(text("UPDATE order_lines SET product_id = NULL"))
    heard, on = [], [True]

    @subscribe(ProductsChanged)
    def hear(events):
        if on:
            heard.extend(events)

    jobs.link_lines()
    assert rows(session, "SELECT count(*) FROM order_lines WHERE product_id IS NULL") == [(0,)]
    (event,) = heard
    assert len(event.product_ids) == 2
    jobs.link_lines()
    on.clear()
    assert len(heard) == 1


def test_orders_of_others_customers_are_not_seen(api, api_with, session):
    send(api, "orders", order())
    (listed,) = api.get("/api/v1/orders").json["items"]
    person = listed["person_id"]
    session.execute(text("INSERT INTO staff (userid) VALUES ('a'), ('b')"))
    session.execute(text("INSERT INTO customers (external_userid) VALUES ('wm1')"))
    session.execute(
        text(
            "INSERT INTO follows (customer_id, staff_id, added_at) SELECT c.id, s.id, now() FROM customers c, staff s WHERE s.userid = 'a'"
        )
    )
    session.execute(
        text("INSERT INTO customer_people SELECT id, :person FROM customers ON CONFLICT (customer_id) DO UPDATE SET person_id = :person"),
        {"person": person},
    )  # fmt: skip
    mine, other = (row[0] for row in rows(session, "SELECT id FROM staff ORDER BY userid"))
    seeing, blind = (api_with("orders:read", staff_ids=[one]) for one in (mine, other))
    assert [one["id"] for one in seeing.get("/api/v1/orders").json["items"]] == [listed["id"]]
    assert blind.get("/api/v1/orders").json["items"] == []
    assert blind.get(f"/api/v1/orders/{listed['id']}").status_code == 404
