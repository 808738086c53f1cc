"""Rows come, move and go in any order, and the copy is brought up to date in between: it never says what is not so."""

from datetime import UTC, datetime, timedelta
from random import Random

import orjson
import pytest
from sqlalchemy import text

from scrm.kernel.clock import shifted, utcnow
from tags.columns import jobs
from tags.columns.service import refreshing
from tags.columns.service.asking import ask
from tags.columns.service.shelf import Source
from tags.rules.compiler import customer_ids, versioned
from tags.sets.service.normal_form import leaf_of, set_leaf
from tests.tags.columns.copying import whole_set
from tests.tags.columns.facts import event_type

LATER = timedelta(minutes=30)

OPERATIONS = (
    "INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id) VALUES (:at, :person, :type, :properties, 's', 'r' || :n)",
    "UPDATE behaviour_events SET at = :at, properties = :properties WHERE person_id = :person",
    "UPDATE behaviour_events SET type_id = :type WHERE person_id = :person",
    "DELETE FROM behaviour_events WHERE person_id = :person AND type_id = :type",
    "UPDATE behaviour_events SET person_id = :other WHERE person_id = :person",
    "INSERT INTO orders (source, source_id, status, status_at, placed_at, person_id, shop) VALUES ('s', 'r' || :n, 'placed', :at, :at, :person, 'A')",
    "INSERT INTO order_lines (order_id, line_no, product_ref, product_id, quantity, amount) SELECT id, :n, 'p', (SELECT min(id) FROM products), 1, 1 FROM orders WHERE person_id = :person LIMIT 1",
    "DELETE FROM order_lines WHERE order_id IN (SELECT id FROM orders WHERE person_id = :person)",
    "UPDATE orders SET placed_at = :at, paid_at = :at, amount = :n WHERE person_id = :person",
    "UPDATE orders SET person_id = :other WHERE person_id = :person",
    "UPDATE orders SET person_id = NULL WHERE person_id = :person",
    "DELETE FROM orders WHERE person_id = :person",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1])
def test_parts_that_are_mended_are_as_if_they_were_written_anew(build, committed, monkeypatch, seed):
    random, types = Random(seed), [event_type(a="text", b="number"), event_type(c="boolean"), event_type()]
    committed.execute(
        text("INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now())")
    )
    given = [None, {}, {"a": "x", "b": 1.5}, {"a": "y", "c": True}, {"a": "z", "b": 2}, {"b": "odd"}]
    for n in range(40):
        committed.execute(text(OPERATIONS[n % 2 * 5]), drawn(random, n, types, given[2:5]))
    build()
    mended = 0
    monkeypatch.setattr(refreshing, "FEW", 1)
    for rounds in range(1, 4):
        for n in range(random.randint(1, 6)):
            chosen = given if rounds > 1 else given[:5]
            committed.execute(text(random.choice(OPERATIONS)), drawn(random, rounds * 100 + n, types, chosen))
        committed.commit()
        with shifted(LATER * rounds):
            mended += sum(part.before is not None for part in refreshing.due_parts(jobs.look_over()))
            copy = build()
        assert {each.file: jobs.check(each) for each in copy.chunks} == {
            each.file: [] for each in copy.chunks
        }
        counted = "SELECT count(*) FROM behaviour_events UNION ALL SELECT count(person_id) FROM orders"
        counts = committed.scalars(text(counted)).all()
        assert [
            sum(each.rows for each in copy.of(source)) for source in (Source.EVENTS, Source.ORDERS)
        ] == counts
    assert mended > 3


def drawn(random, n, types, given):
    """Values of an operation."""
    at = datetime(2026, random.choice((4, 5)), random.randint(1, 28), tzinfo=UTC)
    person, other = random.sample(range(1, 9), 2)
    told = orjson.dumps(random.choice(given) or {}).decode()
    return {
        "at": at,
        "person": person,
        "other": other,
        "type": random.choice(types),
        "properties": told,
        "n": n,
    }


@pytest.fixture
def people(committed):
    """Eight persons, each with a customer, and a product."""
    for statement in (
        "INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now())",
        "INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, 9)",
        "INSERT INTO customers (id, external_userid) OVERRIDING SYSTEM VALUE SELECT i, 'w' || i FROM generate_series(11, 18) i",
        "INSERT INTO customer_people (customer_id, person_id) SELECT i + 10, i FROM generate_series(1, 8) i",
    ):
        committed.execute(text(statement))
    return committed


def true_ids(session, key):
    """What PostgreSQL says of a leaf by itself."""
    found = customer_ids(leaf_of(key), now=utcnow())
    ids = set(session.scalars(found.ids))
    return set(range(11, 19)) - ids if found.but else ids


@pytest.mark.parametrize("seed", [1])
def test_an_answer_with_the_copy_is_that_of_postgresql_at_any_moment(build, people, monkeypatch, seed):
    random, types = Random(seed), [event_type(a="text", b="number"), event_type(c="boolean"), event_type()]
    monkeypatch.setattr(refreshing, "FEW", 1)
    text_is_x = [{"property": "a", "op": "equals", "value": "x"}]
    leaves = [
        {"kind": "event", "event_type_id": types[0]},
        {"kind": "event", "event_type_id": types[0], "where": text_is_x},
        {"kind": "event", "event_type_id": types[0], "measure": "sum", "property": "b", "op": "gte", "value": 3},
        {"kind": "event", "event_type_id": types[1], "op": "equals", "value": 0},
        {"kind": "event", "event_type_id": types[2], "window": {"from": "2026-04-01", "to": "2026-04-20"}},
        {"kind": "order", "op": "gte", "value": 2},
        {"kind": "order", "shops": ["A"], "time": "placed", "window": {"from": "2026-05-01", "to": "2026-05-31"}},
        {"kind": "sequence", "first": {"event_type_id": types[0]}, "then": {"event_type_id": types[1]}, "within_hours": 200},
    ]  # fmt: skip
    keys, answered = [set_leaf(leaf).key for leaf in leaves], 0
    given = [None, {}, {"a": "x", "b": 1.5}, {"a": "y", "c": True}, {"a": "z", "b": 2}, {"b": "odd"}]
    moves = (*OPERATIONS, *MOVES)
    for step in range(24):
        for n in range(random.randint(1, 3)):
            chosen = given if step > 16 else given[:5]
            statement = OPERATIONS[n % 2 * 5] if step < 8 else random.choice(moves)
            people.execute(text(statement), drawn(random, step * 10 + n, types, chosen))
        people.commit()
        if random.random() < 0.3:
            with shifted(LATER * random.randint(0, 1)):
                build()
        for key in keys:
            answered += ask(versioned(leaf_of(key)), utcnow()) is not None
            assert set(whole_set(key, utcnow())) == true_ids(people, key), (step, key)
        people.rollback()
    assert answered > 50


MOVES = (
    "UPDATE customer_people SET person_id = :other WHERE person_id = :person",
    "DELETE FROM customer_people WHERE person_id = :person",
    "INSERT INTO customer_people (customer_id, person_id) SELECT 10 + :person, :other ON CONFLICT DO NOTHING",
)
