"""What others commit at the worst moment makes no answer of the copy wrong."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import select, text

from scrm.commerce.service.products import link_all_lines
from scrm.customers.models import Customer
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, transaction
from tags.columns import jobs
from tags.columns.service import noting, refreshing
from tags.columns.service.shelf import Source
from tags.sets.service.normal_form import set_leaf
from tests.tags.columns.copying import whole_set
from tests.tags.columns.facts import event, event_type, order, written

MAY = datetime(2026, 5, 3, 12, tzinfo=UTC)
LATER = timedelta(minutes=30)
DID = {"kind": "event", "event_type_id": 1}


def run(statement):
    """Write on a connection of somebody else's, committed."""
    with db.engine.begin() as other:
        other.execute(text(statement))


@pytest.fixture
def people(committed):
    """Persons 71 and 72 with a customer each; a third customer is nobody yet."""
    committed.execute(text("INSERT INTO people (id) OVERRIDING SYSTEM VALUE VALUES (71), (72)"))
    customers = [Customer(external_userid=f"wm{n}") for n in range(3)]
    committed.add_all(customers)
    committed.flush()
    ids = [each.id for each in customers]
    for person_id, customer_id in ((71, ids[0]), (72, ids[1])):
        committed.execute(
            text("INSERT INTO customer_people VALUES (:c, :p)"), {"c": customer_id, "p": person_id}
        )
    return ids


@contextmanager
def just_before(words, statement):
    """Somebody else commits ``statement`` before one of this process with these words is sent; once."""
    waiting = [statement]

    def look_at(connection, cursor, sent, *rest):
        if words in sent and waiting:
            run(waiting.pop())

    sql_event.listen(db.engine, "before_cursor_execute", look_at)
    try:
        yield
    finally:
        sql_event.remove(db.engine, "before_cursor_execute", look_at)
    assert not waiting, f"no statement with {words}"


def who(leaf):
    with transaction():
        return set(whole_set(set_leaf(leaf).key, utcnow()))


def test_a_product_that_is_linked_while_its_order_moves_to_another_person(
    build, committed, people, app, monkeypatch
):
    monkeypatch.setattr(refreshing, "FEW", 1)
    id_ = order(71, MAY)
    run("INSERT INTO products (source, source_id, name, version_at) VALUES ('s', 'p', 'p', now())")
    product = committed.scalar(text("SELECT id FROM products"))
    line = "INSERT INTO order_lines (order_id, line_no, product_ref, quantity, amount) VALUES (:id, 1, 'p', 1, 1)"
    committed.execute(text(line), {"id": id_})
    build()
    leaf = {"kind": "order", "product_ids": [product]}
    engine = db.engine

    def move():
        with engine.begin() as other:
            other.execute(text("UPDATE orders SET person_id = 72"))

    def refresh():
        with app.app_context(), shifted(LATER):
            assert jobs.refresh(60)

    mover, writer = Thread(target=move), Thread(target=refresh)
    with transaction():
        link_all_lines()
        mover.start()
        mover.join(0.3)  # either waits, or has to be told from what the lines note
        writer.start()
        writer.join()
    mover.join()
    for round_ in (2, 3):
        assert who(leaf) == {people[1]}
        with shifted(LATER * round_):
            assert jobs.refresh(60)


def test_changes_that_are_forgotten_before_a_part_is_mended_are_not_left_out(build, committed, monkeypatch):
    monkeypatch.setattr(refreshing, "FEW", 1)
    event(71, MAY)
    first = build()
    event(72, MAY)
    committed.commit()
    with shifted(LATER):
        found = jobs.look_over()
        (part,) = refreshing.due_parts(found)
        with transaction():
            noting.forget_all_changes()
        copy = jobs.write(found.copy, part)
    assert copy.of(Source.EVENTS)[0].file != first.of(Source.EVENTS)[0].file
    assert copy.of(Source.EVENTS)[0].rows == 2


def test_a_property_that_becomes_another_type_before_a_part_is_mended_has_a_column_of_it(
    build, committed, monkeypatch
):
    monkeypatch.setattr(refreshing, "FEW", 1)
    type_id = event_type(price="text")
    event(71, MAY, type_id, price="9")
    build()
    run("DELETE FROM behaviour_events WHERE person_id = 71")
    event(72, MAY, type_id, price=10)
    event(73, MAY, type_id, price=9)
    committed.commit()
    with shifted(LATER):
        found = jobs.look_over()
        (part,) = refreshing.due_parts(found)
        run("UPDATE event_types SET properties = jsonb_set(properties, '{0,type}', '\"number\"')")
        (chunk,) = jobs.write(found.copy, part).of(Source.EVENTS)
    assert chunk.typed == {type_id: {"price": "number"}}
    assert written(chunk, f"SELECT min(p_price) FROM events_{type_id}") == [(9,)]  # noqa: S608  # our own name


@pytest.mark.parametrize("never", [False, True])
def test_a_customer_who_becomes_another_person_between_the_questions(build, committed, people, never):
    """71 is asked again, as she did more; but her customer is no longer hers when that is asked."""
    event(72, MAY)
    event(71, MAY)
    build()
    event(71, MAY)
    committed.commit()
    leaf = {**DID, "op": "lte", "value": 0} if never else DID
    with just_before("FROM persons", "UPDATE customer_people SET person_id = 72 WHERE person_id = 71"):
        told = who(leaf)
    assert told == ({people[2]} if never else {*people[:2]})


def test_a_customer_who_becomes_somebody_between_the_questions_did_what_that_person_did(
    build, committed, people
):
    event(72, MAY)
    build()
    come = "WITH c AS (INSERT INTO customers (external_userid) VALUES ('new') RETURNING id) INSERT INTO customer_people SELECT id, 72 FROM c"
    with just_before("string_agg", come):
        told = who({**DID, "op": "lte", "value": 0})
    new = committed.scalar(select(Customer.id).where(Customer.external_userid == "new"))
    assert new not in told
