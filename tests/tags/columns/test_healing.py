"""A file that cannot be read is written again by itself, and a bad disk is not written to without end."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.cli.doctor import copies
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.web.collector import exposition
from tags.columns import jobs
from tags.columns.models import Trouble
from tags.columns.service import doubting, laying, troubles
from tags.columns.service.asking import ask
from tags.columns.service.doubting import MARK, doubt
from tags.columns.service.shelf import Source, folder, read_copy
from tags.rules.compiler import versioned
from tests.tags.columns.facts import event, order, written

MAY = datetime(2026, 5, 3, 12, tzinfo=UTC)
PLACE = (Source.EVENTS, date(2026, 5, 1))


def asked(type_id=1):
    with transaction():
        answer = ask(versioned({"kind": "event", "event_type_id": type_id}), utcnow())
    return answer is not None


def the_file():
    (chunk,) = read_copy().of(Source.EVENTS)
    return chunk.file


def spoil(file, how="all"):
    """Overwrite the head of a file, or one byte in the midst of its rows."""
    path = folder() / file
    rows = path.read_bytes()
    middle = len(rows) // 2
    path.write_bytes(
        b"x" * len(rows) if how == "all" else rows[:middle] + b"\xff" * 4096 + rows[middle + 4096 :]
    )


def found_spoiled():
    """The next reader finds the file unreadable; the one before has it open still."""
    spoil(the_file())
    doubt(the_file())


def told():
    with transaction():
        return [(row.source, row.kind, row.times) for row in troubles.troubled()]


@pytest.fixture
def many(committed):
    """So many events that their blocks lie behind the head of the file."""
    rows = """INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
    SELECT CAST(:at AS timestamptz) + i * interval '1 second', i * 7919 % 100003, 1, '{}', 's', i FROM generate_series(1, 100000) i"""
    committed.execute(text(rows), {"at": MAY})


@pytest.mark.parametrize("how", ["all", "one block"])
def test_a_reader_that_cannot_read_a_file_has_its_month_written_again(build, many, how):
    build()
    before = the_file()
    spoil(before, how)
    assert not asked(), "PostgreSQL answers meanwhile"
    assert (folder() / (before + MARK)).exists()
    build()
    assert the_file() != before
    assert asked()
    assert (told(), list(folder().glob(f"*{MARK}"))) == ([("behaviour_events", Trouble.SPOILED, 1)], [])
    assert not (folder() / before).exists()


def test_a_file_that_only_the_reader_could_not_read_stays(build):
    event(1, MAY)
    order(1, MAY)
    build()
    before = the_file()
    doubt(before)
    build()
    assert (the_file(), list(folder().glob(f"*{MARK}"))) == (before, [])
    assert told() == [("behaviour_events", Trouble.DOUBTED, 1)]
    doubt("events-2026-04-gone.duckdb")
    assert list(folder().glob(f"*{MARK}")) == [], "nobody looks for a file that is gone"


def test_on_a_bad_disk_a_month_is_written_less_and_less_often(build):
    event(1, MAY)
    build()
    writings, seen = [], the_file()
    for minutes in range(0, 16, 2):
        with shifted(timedelta(minutes=minutes)):
            if (folder() / the_file()).exists():
                found_spoiled()
            build()
        if the_file() != seen:
            writings.append(minutes)
            seen = the_file()
    # Found spoiled at 0, 2, 6 and 10 minutes: then it rests for 0, 1, 2 and 4.
    assert writings == [0, 4, 8, 14]
    assert [troubles.rest(times) for times in (1, 2, 3)] == [timedelta(minutes=each) for each in (0, 1, 2)]
    assert troubles.rest(10_000) == troubles.LONGEST_REST
    with shifted(timedelta(days=3)):
        build()
        found_spoiled()
        build()
        assert told() == [("behaviour_events", Trouble.SPOILED, 1)], "after a day it counts as the first"


def test_what_cannot_be_written_rests_too_and_is_forgotten_once_it_can(build, committed, monkeypatch):
    event(1, MAY, 1, long="x" * 10_000)
    committed.commit()
    tried = []
    real = laying.lay_events
    monkeypatch.setattr("tags.columns.service.building.lay_events", lambda *of: tried.append(0) or real(*of))
    monkeypatch.setattr(laying, "LONGEST_LINE", 10)
    for seconds in range(0, 130, 20):
        with shifted(timedelta(seconds=seconds)):
            assert jobs.refresh(60)
    assert len(tried) == 3, "at once, in the next run, and after a minute"
    monkeypatch.setattr(laying, "LONGEST_LINE", 1_000_000)
    with shifted(timedelta(minutes=10)):
        build()
    assert (told(), bool(read_copy().of(Source.EVENTS))) == ([], True)


def test_a_month_that_was_to_be_mended_from_a_spoiled_file_is_read_whole(build, many):
    build()
    event(1, MAY)
    spoil(the_file(), "one block")
    with shifted(timedelta(minutes=30)):
        build()
        build()
    (chunk,) = read_copy().of(Source.EVENTS)
    assert written(chunk, "SELECT count(*) FROM events_1") == [(100_001,)]
    assert told()[0][1:] == (Trouble.SPOILED, 1)


def test_a_folder_that_cannot_be_written_is_said_in_the_log_only(build, monkeypatch):
    event(1, MAY)
    build()

    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(doubting.Path, "touch", refused)
    doubt(the_file())
    assert list(folder().glob(f"*{MARK}")) == []


def test_troubles_are_of_one_machine_and_go_with_the_days(build, committed, columns, tmp_path):
    event(1, MAY)
    build()
    found_spoiled()
    build()
    columns(folder=str(tmp_path / "another"))
    assert told() == []
    with shifted(timedelta(hours=25)):
        jobs.forget_column_changes()
    assert committed.scalar(text("SELECT count(*) FROM column_troubles")) == 0


def test_the_doctor_and_the_metrics_name_what_does_not_stay_well(build, committed):
    event(1, MAY)
    build()
    assert copies.columns().well
    for number in (1, 2):
        found_spoiled()
        build()
        assert f'scrm_columns_troubled{{kind="spoiled"}} {1.0}' in exposition().decode()
        assert copies.columns().well == (number == 1), "once may happen"
    found = copies.columns()
    assert found.detail.startswith("behaviour_events 2026-05 spoiled 2 times (IOException")
    assert str(folder()) in found.way_out
