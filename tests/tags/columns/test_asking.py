"""When the copy answers, and when PostgreSQL has to."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import insert, text, update

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.kernel.clock import utcnow
from scrm.kernel.models import DetachedMonth
from tags.columns.models import ColumnBase, ColumnChange
from tags.columns.queries import changes
from tags.columns.service.asking import ask
from tags.columns.service.doubting import MARK
from tags.columns.service.reading import TooLong, reader
from tags.columns.service.shelf import Source, folder, write_copy
from tags.rules.compiler import versioned
from tags.sets.service.normal_form import set_leaf
from tests.tags.cases_of_people import person_of
from tests.tags.columns.copying import copy_all, whole_set

LATER = 2**40 + 3  # a transaction of long after
OCTOBER, NOVEMBER = (datetime(2025, month, 15, tzinfo=UTC) for month in (10, 11))


@pytest.fixture
def viewed(session, world, columns):
    """A type of event; one customer did it in October and one in November."""
    type_ = EventType(key="viewed", name_zh="看", name_en="viewed")
    session.add(type_)
    session.flush()
    customers = [world.customer(), world.customer()]
    for number, (customer, at) in enumerate(zip(customers, (OCTOBER, NOVEMBER), strict=True)):
        row = {
            "type_id": type_.id,
            "person_id": person_of(customer),
            "at": at,
            "properties": {},
            "source": "t",
        }
        session.execute(insert(BehaviourEvent).values(source_id=str(number), **row))
    return Viewed(type_.id, customers)


class Viewed:
    """What was written, and the leaf that asks for it."""

    def __init__(self, type_id, customers):
        self.type_id, self.customers = type_id, customers

    def leaf(self, **args):
        """In any month, unless told otherwise."""
        return {"kind": "event", "event_type_id": self.type_id, **args}

    def ids(self, *which):
        return {self.customers[n].id for n in which}


def asked(leaf):
    answer = ask(versioned(leaf), utcnow())
    return None if answer is None else set(answer.ids)


def by_leaf(leaf):
    return set(whole_set(set_leaf(leaf).key, utcnow()))


IN_OCTOBER = {"window": {"from": "2025-10-01", "to": "2025-10-31"}}


def noted(session, **row):
    """A change of a transaction that no snapshot has seen."""
    values = {"xid": LATER, "source": Source.EVENTS, "months": [date(2025, 11, 1)], "person_ids": []}
    session.execute(insert(ColumnChange).values({**values, **row}))


def test_without_a_copy_postgresql_answers(viewed):
    assert asked(viewed.leaf()) is None
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)


def test_a_copy_answers_for_all_its_months_and_for_those_of_a_window(viewed):
    copy_all()
    assert asked(viewed.leaf()) == viewed.ids(0, 1)
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0)


def test_a_copy_that_is_switched_off_is_not_asked(viewed, columns):
    copy_all()
    columns(enabled=False)
    assert asked(viewed.leaf()) is None


@pytest.mark.parametrize(
    "spoil",
    [
        {"base": "11111111-1111-4111-8111-111111111111"},
        {"zone": "UTC"},
        {"since": {}},
        {"detached": frozenset({date(2025, 1, 1)})},
    ],
    ids=["another database", "other days", "still being made", "other months"],
)
def test_a_copy_that_is_not_of_these_rows_answers_nothing(viewed, spoil):
    write_copy(replace(copy_all(), **spoil))
    assert asked(viewed.leaf()) is None
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)


def test_a_month_that_left_the_table_is_not_answered_from_the_copy(session, viewed):
    copy_all()
    edges = {"begins_at": datetime(2025, 10, 1, tzinfo=UTC), "ends_at": datetime(2025, 11, 1, tzinfo=UTC)}
    session.add(DetachedMonth(table_name="behaviour_events", **edges))
    session.flush()
    assert asked(viewed.leaf()) is None


def test_a_copy_that_is_older_than_what_is_noted_answers_nothing(session, viewed):
    copy_all()
    session.execute(update(ColumnBase).values(below=LATER))
    assert asked(viewed.leaf()) is None


def test_a_copy_of_a_later_database_is_not_believed(viewed):
    copy = copy_all()
    late = replace(copy.chunks[0].snapshot, xmax=LATER)
    write_copy(replace(copy, chunks=tuple(replace(each, snapshot=late) for each in copy.chunks)))
    assert asked(viewed.leaf()) is None


def test_only_who_changed_in_the_months_of_the_question_is_asked_again(session, viewed):
    copy_all()
    person_id = session.scalar(
        text("SELECT person_id FROM behaviour_events WHERE at = :at"), {"at": NOVEMBER}
    )
    noted(session, person_ids=[person_id])
    assert asked(viewed.leaf()) == viewed.ids(0), "who changed is left out of what the copy says"
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)
    assert not ask(versioned(viewed.leaf(**IN_OCTOBER)), utcnow()).changed


def test_a_month_nobody_copied_is_one_of_changes(session, viewed):
    copy_all()
    noted(session, months=[date(2031, 1, 1)], person_ids=[5])
    assert set(ask(versioned(viewed.leaf()), utcnow()).changed) == {5}


@pytest.mark.parametrize("person_ids", [None, [*range(1, 7)]], ids=["nobody knows who", "too many"])
def test_too_many_changes_leave_the_question_to_postgresql(session, viewed, monkeypatch, person_ids):
    monkeypatch.setattr(changes, "MOST_PERSONS", 5)
    copy_all()
    noted(session, person_ids=person_ids)
    assert asked(viewed.leaf()) is None
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0), "in other months nothing changed"


def test_a_person_who_changes_all_the_time_is_one(session, viewed, monkeypatch):
    copy_all()
    for _ in range(3):
        noted(session, person_ids=[5, 6, 7])
    assert set(ask(versioned(viewed.leaf()), utcnow()).changed) == {5, 6, 7}
    monkeypatch.setattr(changes, "MOST_LISTED", 8)
    assert asked(viewed.leaf()) is None


def test_more_changes_than_are_read_leave_the_question_to_postgresql(session, viewed, monkeypatch):
    monkeypatch.setattr(changes, "MOST_CHANGES", 2)
    copy_all()
    for _ in range(3):
        noted(session, months=[date(2025, 1, 1)])
    assert asked(viewed.leaf()) is None
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0), "those of other months are not read"


def test_a_file_that_is_gone_or_spoiled_leaves_the_question_to_postgresql(viewed, columns, tmp_path):
    copy = copy_all()
    gone, spoiled = (tmp_path / "columns" / each.file for each in copy.of(Source.EVENTS))
    gone.unlink()
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)
    spoiled.write_bytes(b"no database")
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)
    assert asked(viewed.leaf()) is None
    copy_all()
    assert asked(viewed.leaf()) == viewed.ids(0, 1), "the next copy is read without a new start"


def test_a_folder_that_cannot_be_looked_into_leaves_the_question_to_postgresql(viewed, columns, tmp_path):
    (tmp_path / "file").write_text("no folder")
    columns(folder=str(tmp_path / "file" / "columns"))
    assert asked(viewed.leaf()) is None
    assert by_leaf(viewed.leaf()) == viewed.ids(0, 1)


def test_a_question_that_needs_more_memory_than_there_is_goes_to_postgresql(session, viewed, columns):
    rows = """INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
    SELECT CAST(:at AS timestamptz) + i * interval '1 second', 100000 + i, :type, '{}', 's', 'm' || i FROM generate_series(1, 200000) i"""
    session.execute(text(rows), {"at": OCTOBER, "type": viewed.type_id})
    copy_all()
    columns(memory_megabytes=1)
    more = viewed.leaf(measure="days", op="gte", value=1)
    assert asked({**more, "value": 2}) is None
    assert by_leaf({**more, "value": 2}) == set()
    assert list(folder().glob(f"*{MARK}")) == [], "no file is to blame"


def test_a_spoiled_file_spoils_no_other(viewed, columns, tmp_path):
    copy = copy_all()
    (tmp_path / "columns" / copy.of(Source.EVENTS)[1].file).write_bytes(b"no database")
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0)
    assert asked(viewed.leaf()) is None


def test_any_folder_will_do(viewed, columns, tmp_path):
    columns(folder=str(tmp_path / "Hoa's columns"))
    copy_all()
    assert asked(viewed.leaf()) == viewed.ids(0, 1)


def test_a_copy_that_was_written_again_is_read_again(session, viewed):
    copy_all()
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0)
    session.execute(update(BehaviourEvent).values(at=OCTOBER + timedelta(days=1)))
    copy_all()
    assert asked(viewed.leaf(**IN_OCTOBER)) == viewed.ids(0, 1)


def test_a_question_that_takes_too_long_is_stopped(session, columns):
    with pytest.raises(TooLong):
        reader().ids("SELECT count(*) FROM range(10000000000) a, range(10) b", [], 0.05)
    assert set(reader().ids("SELECT 7", [], 5.0)) == {7}, "and the next one is answered"
