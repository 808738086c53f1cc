"""Triggers note whose rows of which months changed, whatever statement changed them."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from tests.tags.columns.facts import changes, event, order

MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)


def at(month, day=3, hour=12):
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def run(session):
    return lambda statement, **values: session.execute(text(statement), values)


def test_a_statement_notes_its_persons_and_months_once(run):
    event(7, at(5), type_id=1)
    assert changes() == [("behaviour_events", [MAY], [7])]
    run("INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)"
        " SELECT '2026-05-31 23:59Z'::timestamptz + i * interval '1 hour', 8 + i % 2, 1, '{}', 's', 'n' || i FROM generate_series(0, 5) i")  # fmt: skip
    assert changes() == [("behaviour_events", [MAY, JUNE], [8, 9])]


def test_a_changed_event_is_noted_on_both_sides(run):
    event(7, at(5))
    changes()
    run("UPDATE behaviour_events SET person_id = 8")
    assert changes() == [("behaviour_events", [MAY], [7, 8])]
    run("UPDATE behaviour_events SET at = at + interval '1 month'")
    assert changes() == [("behaviour_events", [MAY, JUNE], [8])]
    run("""UPDATE behaviour_events SET properties = '{"a": 1}'""")
    assert changes() == [("behaviour_events", [JUNE], [8])]
    run("UPDATE behaviour_events SET source = 'other', properties = properties, at = at")
    assert changes() == []
    run("DELETE FROM behaviour_events")
    assert changes() == [("behaviour_events", [JUNE], [8])]
    run("DELETE FROM behaviour_events")
    assert changes() == []


def test_orders_are_noted_as_far_as_they_are_copied(run):
    order(None, at(5))
    assert changes() == []
    id_ = order(7, at(5))
    assert changes() == [("orders", [MAY], [7])]
    run("UPDATE orders SET updated_at = now(), refunded_amount = 3")
    assert changes() == []
    run("UPDATE orders SET paid_at = placed_at, status = 'paid' WHERE id = :id", id=id_)
    assert changes() == [("orders", [MAY], [7])]
    run("UPDATE orders SET person_id = 8 WHERE person_id IS NULL")
    assert changes() == [("orders", [MAY], [8])]
    run("DELETE FROM orders")
    assert changes() == [("orders", [MAY], [7, 8])]


def test_lines_are_changes_of_their_orders(run):
    id_ = order(7, at(6))
    product = run("INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now()) RETURNING id").scalar()  # fmt: skip
    changes()
    line = "INSERT INTO order_lines (order_id, line_no, product_ref, product_id, quantity, amount) VALUES (:id, :n, 'p', :product, 1, 1)"
    run(line, id=id_, n=1, product=None)
    assert changes() == []
    run(line, id=id_, n=2, product=product)
    assert changes() == [("orders", [JUNE], [7])]
    run("UPDATE order_lines SET quantity = 2")
    assert changes() == []
    run("UPDATE order_lines SET product_id = :product WHERE line_no = 1", product=product)
    assert changes() == [("orders", [JUNE], [7])]
    run("DELETE FROM order_lines WHERE line_no = 1")
    assert changes() == [("orders", [JUNE], [7])]
    run("DELETE FROM orders")
    assert changes() == [("orders", [JUNE], [7])], "its lines went with it"


def test_people_have_no_months(run):
    for person in (7, 8):
        run("INSERT INTO people (id) OVERRIDING SYSTEM VALUE VALUES (:id)", id=person)
    customer = run("INSERT INTO customers (external_userid) VALUES ('wm') RETURNING id").scalar()
    run("INSERT INTO customer_people (customer_id, person_id) VALUES (:id, 7)", id=customer)
    assert changes() == [("customer_people", [], [7])]
    run("UPDATE customer_people SET person_id = 8")
    assert changes() == [("customer_people", [], [7, 8])]


def test_of_too_many_persons_the_ids_are_not_listed(run):
    many = """INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
    SELECT '2026-05-03', i, 1, '{}', 's', 'm' || i FROM generate_series(1, :n) i"""
    run(many, n=10_001)
    assert changes() == [("behaviour_events", [MAY], None)]
    run("DELETE FROM behaviour_events WHERE person_id = 1")
    run("DELETE FROM behaviour_events")
    assert [len(persons) for _, _, persons in changes()] == [1, 10_000]


def test_a_table_that_is_emptied_makes_the_copy_one_of_another_database(run):
    run("INSERT INTO column_base (id) VALUES (1) ON CONFLICT DO NOTHING")
    key = run("SELECT key FROM column_base").scalar()
    run("TRUNCATE order_lines")
    assert run("SELECT key FROM column_base").scalar() != key
