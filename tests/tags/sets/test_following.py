"""Counts of conditions on events and orders are of this moment where nothing, or little, happened since."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from pyroaring import BitMap64
from sqlalchemy import event as sql_event
from sqlalchemy import insert as insert_
from sqlalchemy import select, text

from scrm.behaviour.models import EventDay
from scrm.cli.partitions import _settle
from scrm.customers.models import Customer
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, session, transaction
from scrm.kernel.detaching import attach_month, detach_month, newest_detachable
from scrm.kernel.partitions import make_months, month_after
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import EXTENSION
from scrm.people.models import PersonConsent
from scrm.people.service.merging import merge
from tags.columns.service import noting
from tags.columns.service.shelf import Source
from tags.rules.compiler import compile_condition, versioned
from tags.sets import jobs
from tags.sets.service import store, upkeep
from tags.sets.service.counting import members_of_tree
from tags.sets.service.following import Rows, rows_of
from tags.sets.service.memory import memory
from tags.sets.service.normal_form import set_leaf
from tests.settling import settle
from tests.tags.columns.facts import event, order

ALL = Scope.all()
MAY, JUNE = (datetime(2026, month, 3, 12, tzinfo=UTC) for month in (5, 6))
IN_MAY = {"window": {"from": "2026-05-02", "to": "2026-05-20"}}
DID = {"kind": "event", "event_type_id": 1}
OFTEN = {**DID, "measure": "count", "op": "gte", "value": 2}
NEVER = {**DID, "measure": "count", "op": "lte", "value": 0}
DAYS = {**DID, "measure": "days", "op": "gte", "value": 1, **IN_MAY}
BOUGHT = {"kind": "order", "statuses": ["paid"], **IN_MAY}
PAID = {"kind": "order", "time": "paid", "measure": "sum", "op": "gte", "value": 100, "currency": "CNY"}
THEN = {
    "kind": "sequence",
    "first": {"event_type_id": 1},
    "then": {"event_type_id": 2},
    "within_hours": 72,
    **IN_MAY,
}
LEAVES = (DID, OFTEN, NEVER, {**DID, **IN_MAY}, DAYS, BOUGHT, PAID, THEN)


@pytest.fixture
def people(committed, app):
    """Persons 71 to 74 with a customer each; 71 did and bought something in May."""
    committed.execute(text("INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(71, 74)"))
    noting.ensure_base()
    made = [Customer(external_userid=f"wm{n}") for n in range(4)]
    committed.add_all(made)
    committed.flush()
    for person, customer in enumerate(made, 71):
        values = {"c": customer.id, "p": person}
        committed.execute(text("INSERT INTO customer_people VALUES (:c, :p)"), values)
    event(71, MAY)
    event(72, JUNE)
    committed.execute(
        text("INSERT INTO event_days VALUES (1, 71, '2026-05-03', 1), (1, 72, '2026-06-03', 1)")
    )
    order(71, MAY, status="paid", paid_at=MAY, amount=120, currency="CNY")
    committed.commit()
    return {person: each.id for person, each in enumerate(made, 71)}


def run(statement):
    """Write on a connection of somebody else's, committed."""
    with db.engine.begin() as other:
        other.execute(text(statement) if isinstance(statement, str) else statement)


def counted(tree):
    with transaction():
        return members_of_tree(tree, ALL)


def by_sql(tree, *, everybody=False):
    with transaction():
        clause = compile_condition(versioned(tree), everybody=everybody)
        return set(db.session.scalars(select(Customer.id).where(clause)))


def insert(person, at, type_id=1):
    values = f"VALUES ('{at.isoformat()}', {person}, {type_id}, '{{}}', 's', gen_random_uuid())"
    return f"INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id) {values}"


def merged():
    with transaction():
        merge(71, 73, "t")


HAPPENINGS = {
    "something is done": insert(73, MAY),
    "something else is done": insert(71, MAY + timedelta(hours=70), 2),
    "it was done on another day": "UPDATE behaviour_events SET at = at + interval '18 days' WHERE person_id = 71",
    "it never was": "DELETE FROM behaviour_events WHERE person_id = 71",
    "somebody else did it": "UPDATE behaviour_events SET person_id = 74 WHERE person_id = 71",
    "an order is cancelled": "UPDATE orders SET status = 'cancelled', paid_at = NULL",
    "an order becomes dearer": "UPDATE orders SET amount = amount - 30",
    "a customer becomes somebody else": "UPDATE customer_people SET person_id = 74 WHERE person_id = 71",
    "a customer comes": "INSERT INTO customers (external_userid) VALUES ('new')",
    "a customer goes": "DELETE FROM customer_people WHERE person_id = 71",
    "persons are merged": merged,
    "so many do something that they are not listed": "INSERT INTO behaviour_events (at, person_id, type_id, properties, source, "
    "source_id) SELECT '2026-05-03', 71 + i, 1, '{}', 's', i FROM generate_series(0, 10001) i",
    "everything is emptied": "TRUNCATE behaviour_events, orders, order_lines CASCADE",
}


@pytest.mark.parametrize("what", HAPPENINGS)
def test_what_was_counted_before_is_of_this_moment(people, what):
    for leaf in LEAVES:
        counted(leaf)
    happens = HAPPENINGS[what]
    happens() if callable(happens) else run(happens)
    wrong = {}
    for leaf in LEAVES:
        found, true = counted(leaf), by_sql(leaf)
        if (set(found.ids), found.exact) != (true, True):
            wrong[str(leaf)] = (set(found.ids), true, found.exact)
    if what.startswith("so many") or what == "everything is emptied":  # asked anew once they are old enough
        with shifted(timedelta(seconds=61)):
            wrong = {str(leaf) for leaf in LEAVES if set(counted(leaf).ids) != by_sql(leaf, everybody=True)}
    assert not wrong


@pytest.mark.parametrize("year", [1985, 2101])
def test_a_table_that_is_emptied_has_no_rows_of_any_year(people, year):
    leaf = {**DID, "window": {"from": f"{year}-01-01", "to": f"{year}-12-31"}}
    run(insert(73, datetime(year, 5, 5, tzinfo=UTC)))
    assert set(counted(leaf).ids) == {people[73]}
    run("TRUNCATE behaviour_events CASCADE")
    with shifted(timedelta(seconds=61)):
        assert set(counted(leaf).ids) == set()


def test_a_set_of_unlisted_changes_says_how_old_it_is(people):
    first = counted(DID)
    run(HAPPENINGS["so many do something that they are not listed"])
    second = counted(DID)
    assert (set(second.ids), second.exact, second.as_of) == (set(first.ids), False, first.as_of)
    with transaction():
        assert set(members_of_tree(DID, ALL, fresh=True).ids) == by_sql(DID)


def test_months_of_which_nothing_is_asked_cost_no_question(people):
    leaf = {**DID, **IN_MAY}
    counted(leaf)
    run(insert(73, JUNE))
    asked = []

    def note(connection, cursor, sent, *rest):
        asked.append(sent)

    sql_event.listen(db.engine, "before_cursor_execute", note)
    try:
        found = counted(leaf)
    finally:
        sql_event.remove(db.engine, "before_cursor_execute", note)
    assert (found.exact, [sent for sent in asked if "FROM behaviour_events" in sent]) == (True, [])


def test_a_month_that_leaves_the_table_or_comes_back_changes_what_is_counted(people, committed):
    month = month_after(newest_detachable(), -101)  # nobody else makes it
    with transaction():
        made = make_months(committed.connection(), [month])
    try:
        run(insert(73, datetime(month.year, month.month, 5, tzinfo=UTC)))
        assert set(counted(DID).ids) == {people[71], people[72], people[73]}
        with transaction():
            detach_month("behaviour_events", month)
        with shifted(timedelta(seconds=61)):
            assert set(counted(DID).ids) == {people[71], people[72]}
            with transaction():
                attach_month("behaviour_events", month)
        with shifted(timedelta(seconds=122)):
            assert set(counted(DID).ids) == {people[71], people[72], people[73]}
    finally:
        for name in made:
            run(f"DROP TABLE {name}")


def test_what_is_counted_while_a_month_is_being_detached_does_not_stay(people, committed):
    """Its days are taken off the counts of days later, in another transaction."""
    month, leaf = month_after(newest_detachable(), -101), {**DID, "measure": "days", "op": "gte", "value": 1}
    with transaction():
        made = make_months(committed.connection(), [month])
    try:
        run(insert(73, datetime(month.year, month.month, 5, tzinfo=UTC)))
        run(insert_(EventDay).values(type_id=1, person_id=73, day=month.replace(day=5), count=1))
        with transaction():
            detach_month("behaviour_events", month)
        assert set(counted(leaf).ids) == {people[71], people[72], people[73]}
        _settle()
        with shifted(timedelta(seconds=61)):
            assert set(counted(leaf).ids) == {people[71], people[72]}
    finally:
        for name in made:
            run(f"DROP TABLE {name}")


def test_changes_that_are_forgotten_make_a_set_old(people):
    first = counted(DID)
    run(insert(73, MAY))
    settle()
    with transaction():
        noting.forget_all_changes()
    second = counted(DID)
    assert (set(second.ids), second.exact) == (set(first.ids), False)
    with shifted(timedelta(seconds=61)):
        assert set(counted(DID).ids) == by_sql(DID)


def test_which_leaves_can_be_followed(session, app):
    def followed(leaf):
        return rows_of(set_leaf(leaf).key)

    may = (date(2026, 5, 1), date(2026, 5, 1))
    always = (date.min, date.max)
    rolling = {"window": {"last_days": 30}}
    assert followed(DID) == followed(OFTEN) == followed(NEVER) == Rows(Source.EVENTS, *always)
    assert followed({**DID, **IN_MAY}) == followed(DAYS) == followed(THEN) == Rows(Source.EVENTS, *may)
    assert followed(BOUGHT) == Rows(Source.ORDERS, *may)
    assert followed(PAID) == Rows(Source.ORDERS, *always), "months go by when it was placed"
    assert followed({**DID, **rolling}) is None
    assert followed({**THEN, "happens": False}) is None, "its hours pass"
    assert followed({"kind": "order", "categories": ["tea"]}) is None, "nobody notes what products are called"
    dated = {"property": "w", "op": "between", "values": ["2026-05-01", "2026-05-02"]}
    assert followed({**DID, "where": [dated]}) == Rows(Source.EVENTS, *always)
    assert followed({"kind": "has_tag", "tag_ids": [1]}) is None


def test_rolling_windows_are_never_older_than_they_may_be(people):
    leaf = {**DID, "window": {"last_hours": 24}}
    run(insert(73, utcnow() - timedelta(hours=24) + timedelta(seconds=50)))
    assert set(counted(leaf).ids) == {people[73]}
    with shifted(timedelta(seconds=111)):
        assert set(counted(leaf).ids) == set()


def test_an_answer_of_some_seconds_ago_is_not_of_this_moment_where_the_clock_counts(people):
    leaf = {**DID, "window": {"last_hours": 24}}
    run(insert(73, utcnow() - timedelta(hours=24) + timedelta(seconds=30)))
    first = counted(leaf)
    assert (set(first.ids), first.exact) == ({people[73]}, True)
    with shifted(timedelta(seconds=50)):
        second, other = counted(leaf), counted(DID)
    assert (second.exact, second.as_of, other.exact) == (False, first.as_of, True), (
        "nothing was written since"
    )


AGREED = {"kind": "consent", "channel": "sms", "state": "given", "since": {"last_hours": 24}}


@pytest.mark.parametrize("leaf", [{**DID, "window": {"last_hours": 24}}, AGREED], ids=["asked anew", "kept"])
def test_sets_of_a_clock_that_was_ahead_are_not_believed(people, leaf):
    at = utcnow() - timedelta(hours=23, minutes=30)
    run(insert(73, at))
    run(insert_(PersonConsent).values(person_id=73, channel="sms", contactable=True, at=at, source="t"))
    with shifted(timedelta(hours=1)):
        assert set(counted(leaf).ids) == set()
    with transaction():
        upkeep.keep([set_leaf(leaf).key])
    memory().clear()
    assert set(counted(leaf).ids) == {people[73]}


def test_days_of_another_zone_are_other_sets(people, app, monkeypatch):
    """The settings are read when a process starts; Redis and PostgreSQL outlive it."""
    run("UPDATE behaviour_events SET at = '2026-05-03T20:00Z' WHERE person_id = 71")
    leaf = {**DID, "window": {"from": "2026-05-03", "to": "2026-05-03"}}
    assert set(counted(leaf).ids) == set(), "the next day in Shanghai"
    told = app.extensions[EXTENSION]
    corp = told.corp.model_copy(update={"timezone": "UTC"})
    monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update={"corp": corp}))
    memory().clear()
    assert set(counted(leaf).ids) == {people[71]}


def test_sets_that_are_followed_are_compared_with_sql_too(people):
    counted(DID)
    key = set_leaf(DID).key
    assert key in upkeep.some_keys(99)
    with transaction():
        (held,) = store.load([key]).values()
        store.replace({key: replace(held, bits=held.bits - BitMap64([people[71]]))})
    memory().clear()
    with transaction():
        session().connection(execution_options={"isolation_level": "REPEATABLE READ"})
        assert upkeep.compare([key]) == 1
    assert set(counted(DID).ids) == by_sql(DID)


def test_a_set_that_takes_too_long_to_be_compared_keeps_no_other_waiting(people, app, monkeypatch):
    counted(DID)
    told = app.extensions[EXTENSION]
    rules = told.rules.model_copy(update={"look_seconds": 0.05})
    monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update={"rules": rules}))
    with db.engine.connect() as other:
        other.execute(text("LOCK TABLE behaviour_events IN ACCESS EXCLUSIVE MODE"))
        jobs.check_sets()
        other.rollback()
    assert set(counted(DID).ids) == by_sql(DID)
