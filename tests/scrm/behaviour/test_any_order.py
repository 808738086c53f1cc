"""Whatever the order, repetition and cut into batches of the same events: the same rows, and counts equal a recount."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from scrm.behaviour.models import EventType
from scrm.behaviour.service.storing import check_events, make_room, store_events
from scrm.kernel.batch import Batch
from scrm.kernel.db import transaction
from tests.profiles import examples

BASE = datetime(2026, 10, 30, tzinfo=UTC)
EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["one", "two"]),
        "at": st.integers(0, 96).map(lambda h: (BASE + timedelta(hours=h)).isoformat()),
        "identities": st.integers(0, 3).map(lambda n: {"member_no": f"M1000{n}"}),
        "properties": st.integers(0, 2).map(lambda n: {"n": n}),
    }
)
COMPANY = st.lists(EVENT, min_size=1, max_size=8)


@st.composite
def deliveries(draw):
    """The events of a company, and two ways to deliver them: any order, repetitions, any cut into batches."""
    events = [{"source_id": f"e{n}", **one} for n, one in enumerate(draw(COMPANY))]
    return [draw(_delivery(events)) for _ in range(2)]


@st.composite
def _delivery(draw, events):
    rows = draw(st.permutations(events)) + draw(st.lists(st.sampled_from(events), max_size=6))
    cuts = sorted(draw(st.sets(st.integers(1, len(rows) - 1), max_size=4))) if len(rows) > 1 else []
    return [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def deliver(batches):
    for rows in batches:
        batch = Batch("mall", [dict(row) for row in rows])
        checked = check_events(batch)
        with transaction():
            make_room(checked)
            store_events(batch, checked)
        assert batch.answer()["refused"] == 0


def forget(session):
    for table in ("behaviour_events", "event_keys", "event_days"):
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # a constant


def stored(session):
    """Events by what identifies their person, with the counts of days."""
    events = text("""SELECT e.source_id, e.at, i.value, e.type_id, CAST(e.properties AS text), k.at = e.at
      FROM behaviour_events e JOIN identities i ON i.person_id = e.person_id
      LEFT JOIN event_keys k ON k.event_id = e.id ORDER BY 1""")
    days = text("""SELECT d.type_id, i.value, d.day, d.count
      FROM event_days d JOIN identities i ON i.person_id = d.person_id ORDER BY 1, 2, 3""")
    return [tuple(row) for row in session.execute(events)], [tuple(row) for row in session.execute(days)]


def recounted(session):
    again = text("""SELECT e.type_id, i.value, CAST(timezone('Asia/Shanghai', e.at) AS date), count(*)
      FROM behaviour_events e JOIN identities i ON i.person_id = e.person_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""")
    return [tuple(row) for row in session.execute(again)]


@pytest.fixture
def types(session):
    number = {"key": "n", "type": "integer", "name_zh": "n", "name_en": "n"}
    with transaction():
        session.add_all(
            EventType(key=key, name_zh=key, name_en=key, properties=[number]) for key in ("one", "two")
        )
    return session


@examples(25)
@given(deliveries())
def test_any_delivery_of_the_same_events_gives_the_same_rows(types, ways):
    found = []
    for batches in ways:
        forget(types)
        deliver(batches)
        found.append(stored(types))
        assert found[-1][1] == recounted(types)
    assert found[0] == found[1]
    assert all(whole for *_, whole in found[0][0])


@examples(25)
@given(st.lists(st.tuples(st.integers(0, 3), EVENT), min_size=1, max_size=12), st.integers(1, 5))
def test_whatever_replaces_what_the_last_content_stands_and_counts_equal_a_recount(types, sent, size):
    rows = [{"source_id": f"e{n}", **event} for n, event in sent]
    forget(types)
    deliver([rows[start : start + size] for start in range(0, len(rows), size)])
    last = {row["source_id"]: row for row in rows}
    events, days = stored(types)
    assert {key: (at.isoformat(), who) for key, at, who, *_ in events} == {
        key: (row["at"], row["identities"]["member_no"]) for key, row in last.items()
    }
    assert days == recounted(types)
