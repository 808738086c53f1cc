"""A month with too many rows for one go is written in pieces, in as many runs as it takes, and nobody asks half of it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.customers.models import Customer
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.snapshots import Snapshot
from tags.columns import jobs
from tags.columns.service import pieces, refreshing
from tags.columns.service.asking import ask
from tags.columns.service.shelf import Source, folder, read_copy
from tags.rules.compiler import versioned
from tags.sets.service.normal_form import set_leaf
from tests.tags.columns.copying import whole_set
from tests.tags.columns.facts import event, order, written

MAY = datetime(2026, 5, 3, 12, tzinfo=UTC)
LATER = timedelta(minutes=30)
TWICE = {"kind": "event", "event_type_id": 1, "measure": "count", "op": "gte", "value": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 3)
    monkeypatch.setattr(refreshing, "FEW", 1)


@pytest.fixture
def customers(committed):
    """Persons 1 to 10 with a customer each: person → customer."""
    committed.execute(text("INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT generate_series(1, 10)"))
    made = [Customer(external_userid=f"wm{n}") for n in range(1, 11)]
    committed.add_all(made)
    committed.flush()
    found = {person: each.id for person, each in enumerate(made, 1)}
    for person, customer in found.items():
        committed.execute(text("INSERT INTO customer_people VALUES (:c, :p)"), {"c": customer, "p": person})
    return found


def rows(source=Source.EVENTS):
    return [each.rows for each in read_copy().of(source)]


def files():
    return {each.file for each in read_copy().of(Source.EVENTS)}


def answered(leaf=TWICE):
    """By the copy and those who are asked again; None: by PostgreSQL."""
    with transaction():
        if ask(versioned(leaf), utcnow()) is None:
            return None
        return set(whole_set(set_leaf(leaf).key, utcnow()))


def test_all_rows_are_in_one_piece_each_and_the_answers_are_the_same(build, customers):
    for number in range(10):
        event(1 + number % 5, MAY + timedelta(hours=number))
        order(1 + number % 5, MAY)
    event(6, MAY.replace(month=6))
    copy = build()
    assert (rows(), rows(Source.ORDERS)) == ([3, 3, 3, 1, 1], [3, 3, 3, 1])
    edges = [(each.begin, each.end) for each in copy.of(Source.EVENTS)[:4]]
    assert [end for _, end in edges[:-1]] == [begin for begin, _ in edges[1:]]
    assert (edges[0][0], edges[-1][1], copy.drafts) == (None, None, ())
    assert answered() == {customers[n] for n in range(1, 6)}
    assert [jobs.check(each) for each in copy.chunks] == [[]] * len(copy.chunks)
    assert build().chunks[0].file == copy.chunks[0].file, "nothing is written twice"


def test_a_month_is_finished_in_several_runs_and_nobody_asks_half_of_it(committed, columns, customers):
    for _ in range(2):
        for person in range(1, 5):
            event(person, MAY)
    committed.commit()
    steps = []
    while not jobs.refresh(0):
        survey = jobs.look_over()
        assert answered() is None
        jobs.write(survey.copy, survey.absent[0])
        copy = read_copy()
        steps.append((len(copy.of(Source.EVENTS)), len(copy.drafts)))
    assert steps == [(0, 0), (0, 1), (0, 2), (3, 0)], "who is which customer came first"
    assert answered() == {customers[n] for n in range(1, 5)}


def test_a_writer_who_is_killed_loses_one_piece(build, committed, customers, monkeypatch):
    for person in range(1, 9):
        event(person, MAY)
    committed.commit()
    left = iter(["people", "first", "second"])

    def die(place):
        if next(left, None) is None:
            raise KeyboardInterrupt(place)

    monkeypatch.setattr(refreshing, "reached", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.refresh(60)
    drafts = {each.file for each in read_copy().drafts}
    assert (len(drafts), rows()) == (2, [])
    monkeypatch.setattr(refreshing, "reached", lambda place: None)
    with shifted(timedelta(hours=2)):
        build()
    assert drafts < files()
    assert {path.name for path in folder().glob("events*")} == files(), "and leaves no rubbish"


def test_what_changes_between_two_pieces_is_asked_again(build, committed, customers):
    """Person 1's second event comes, 2's moves to 9, 3 becomes part of nobody, while the month is half written."""
    for person in (1, 2, 3, 4, 5, 6, 2, 3, 4):
        event(person, MAY)
    committed.commit()
    assert not jobs.refresh(0)
    for _ in range(2):
        survey = jobs.look_over()
        jobs.write(survey.copy, survey.absent[0])
    assert len(read_copy().drafts) == 1
    event(1, MAY)
    committed.execute(text("UPDATE behaviour_events SET person_id = 9 WHERE person_id = 2"))
    committed.execute(text("DELETE FROM behaviour_events WHERE person_id = 3"))
    build()
    assert sum(rows()) >= 8
    assert answered() == {customers[n] for n in (1, 4, 9)}
    with shifted(LATER):
        build()
    assert sum(rows()) == 8
    assert answered() == {customers[n] for n in (1, 4, 9)}


def test_pieces_are_mended_alone_and_the_last_one_is_divided_once_it_has_grown(build, customers):
    for person in range(1, 9):
        event(person, MAY)
    build()
    event(1, MAY)
    for step, expected in ((1, [3, 3, 3]), (2, [3, 3, 9]), (3, [3, 3, 3, 3, 3, 1])):
        with shifted(LATER * step):
            build()
            assert rows() == expected
            for person in range(1, 7) if step == 1 else [1] if step == 2 else []:
                event(person, MAY)
            if step == 3:
                break
    assert answered() == {customers[n] for n in range(1, 7)}


def test_of_a_piece_that_was_spoiled_only_that_is_written_again(build, customers):
    for person in (1, 2, 3, 1, 2, 3, 7, 8):
        event(person, MAY)
    copy = build()
    before, spoiled = files(), copy.of(Source.EVENTS)[1].file
    (folder() / spoiled).unlink()
    build()
    assert before - files() == {spoiled}
    assert rows() == [3, 3, 2]
    assert answered() == {customers[n] for n in (1, 2, 3)}


def test_a_month_whose_pieces_became_empty_goes_as_a_whole(build, committed, customers):
    for person in range(1, 9):
        event(person, MAY)
    build()
    committed.execute(text("DELETE FROM behaviour_events WHERE person_id <= 3"))
    for step in (1, 2):
        with shifted(LATER * step):
            build()
        assert rows() == [0, 3, 2], "a month has no holes"
    committed.execute(text("DELETE FROM behaviour_events"))
    for step in (3, 4):
        with shifted(LATER * step):
            build()
    assert rows() == []


def test_drafts_that_are_of_no_use_any_more_are_begun_anew(committed, columns, customers):
    for person in range(1, 9):
        event(person, MAY)
    committed.commit()
    assert not jobs.refresh(0)
    for _ in range(3):
        survey = jobs.look_over()
        jobs.write(survey.copy, survey.absent[0])
    first, second = read_copy().drafts
    (folder() / first.file).unlink()
    assert jobs.refresh(60)
    assert read_copy().drafts == ()
    assert second.file not in files()
    assert sum(rows()) == 8


def test_what_every_snapshot_saw():
    told = Snapshot.of_all(
        [Snapshot.parse("10:20:10,14"), Snapshot.parse("12:16:12,15"), Snapshot.parse("30:30:")]
    )
    assert str(told) == "10:16:10,12,14,15"
    assert [xid for xid in range(8, 22) if told.shows(xid)] == [8, 9, 11, 13]


def test_rows_of_a_piece_are_those_of_its_ids(build, customers):
    for person in range(1, 5):
        event(person, MAY)
    first, last = build().of(Source.EVENTS)
    both = [written(each, "SELECT person_id FROM events_1 ORDER BY 1") for each in (first, last)]
    assert both == [[(1,), (2,), (3,)], [(4,)]]
