"""Days of 25 hours, and edges to the microsecond: the copy and PostgreSQL say the same, and what is so."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.settings import EXTENSION
from tags.columns.service.asking import ask
from tags.rules.compiler import versioned
from tags.sets.service.normal_form import set_leaf
from tests.tags.cases_of_people import person_of
from tests.tags.columns.copying import copy_all, whole_set
from tests.tags.columns.facts import event, event_type

# In Berlin 2025-10-26 had 25 hours: from 22:00 UTC of the day before to 23:00.
BEGINS, ENDS = datetime(2025, 10, 25, 22, tzinfo=UTC), datetime(2025, 10, 26, 23, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
DAY = {"window": {"from": "2025-10-26", "to": "2025-10-26"}}
DID = {"kind": "event", "event_type_id": 1}
THEN = {"kind": "sequence", "first": {"event_type_id": 1}, "then": {"event_type_id": 2}, "within_hours": 72}


@pytest.fixture
def berlin(session, app, columns, monkeypatch):
    """A corp in Berlin, whose server keeps Berlin's time as well."""
    told = app.extensions[EXTENSION]
    corp = told.corp.model_copy(update={"timezone": "Europe/Berlin"})
    monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update={"corp": corp}))
    session.execute(text("SET LOCAL timezone = 'Europe/Berlin'"))


@pytest.fixture
def does(berlin, world, columns):
    """Whether the leaf holds for somebody who did things of types at moments; the copy and PostgreSQL agree on it."""

    def tell(leaf, *events, now=None):
        customer = world.customer()
        person_id = person_of(customer)
        for type_id, at in events:
            event(person_id, at, type_id, a="x")
        copy_all()
        now = now or utcnow()
        answer = ask(versioned(leaf), now)
        columns(enabled=False)
        told = customer.id in whole_set(set_leaf(leaf).key, now)
        columns(enabled=True)
        assert (customer.id in answer.ids) == (told != answer.but)
        return told

    return tell


@pytest.mark.parametrize(
    ("at", "told"), [(BEGINS - MOMENT, False), (BEGINS, True), (ENDS - MOMENT, True), (ENDS, False)]
)
def test_a_day_of_25_hours_begins_and_ends_where_it_does(does, at, told):
    assert does({**DID, **DAY}, (1, at)) is told


@pytest.mark.parametrize(("hours", "told"), [(72, True), (72.5, False), (73, False)])
def test_three_days_of_hours_are_72_hours_over_a_change_of_the_clock(does, hours, told):
    first = datetime(2025, 10, 25, 12, tzinfo=UTC)
    assert does(THEN, (1, first), (2, first + timedelta(hours=hours))) is told


@pytest.mark.parametrize(("hours", "told"), [(72, True), (73, False)])
def test_nor_does_the_other_form_of_a_sequence_count_days(does, hours, told):
    first = datetime(2025, 10, 25, 12, tzinfo=UTC)
    leaf = {**THEN, "happens": False}
    assert does(leaf, (1, first), (2, first + timedelta(hours=hours))) is not told


@pytest.mark.parametrize(("late", "told"), [(MOMENT, True), (timedelta(0), False), (-MOMENT, False)])
def test_a_rolling_window_ends_to_the_microsecond(does, late, told):
    now = datetime(2025, 10, 27, 12, 0, 0, 123456, tzinfo=UTC)
    assert does({**DID, "window": {"last_hours": 48}}, (1, now - timedelta(hours=48) + late), now=now) is told


@pytest.mark.parametrize(("days", "told"), [(2, True), (3, False)])
def test_hours_that_come_twice_are_of_one_day(does, days, told):
    moments = [BEGINS + timedelta(hours=hours, minutes=30) for hours in range(25)] + [ENDS]
    type_id = event_type(a="text")
    leaf = {"kind": "event", "event_type_id": type_id, "measure": "days", "op": "gte", "value": days}
    leaf |= {"where": [{"property": "a", "op": "equals", "value": "x"}]}
    assert does(leaf, *((type_id, at) for at in moments)) is told
