"""The copy is brought to the present, whatever happens in between, and never says what is not so."""

import resource
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from scrm.behaviour.models import EventType
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.detaching import attach_month, detach_month, newest_detachable, partition_name
from scrm.kernel.partitions import make_months, month_after
from scrm.people.service.merging import merge
from scrm.web.collector import exposition
from tags.columns import jobs
from tags.columns.queries.base import BASE
from tags.columns.service import laying, refreshing
from tags.columns.service.shelf import Source, folder, read_copy
from tests.settling import settle
from tests.tags.columns.facts import event, event_type, order, written

MAY, JUNE = (datetime(2026, month, 3, 12, tzinfo=UTC) for month in (5, 6))
LATER = timedelta(minutes=30)


@pytest.fixture(autouse=True)
def every_change_counts(monkeypatch):
    monkeypatch.setattr(refreshing, "FEW", 1)


def files(copy, source=Source.EVENTS):
    return [each.file for each in copy.of(source)]


def months(copy, source=Source.EVENTS):
    return [each.month for each in copy.of(source)]


def run(statement, **values):
    """Write on a connection of somebody else's, committed."""
    with db.engine.begin() as other:
        other.execute(text(statement), values)


def later(build):
    """Refresh once every part has rested."""
    with shifted(LATER):
        return build()


def test_nothing_is_written_twice_and_what_is_right_moves_on(build):
    event(1, MAY)
    order(1, MAY)
    first = build()
    assert months(first) == months(first, Source.ORDERS) == [date(2026, 5, 1)]
    assert set(first.since) == {Source.EVENTS, Source.ORDERS}
    run("INSERT INTO people DEFAULT VALUES")
    second = build()
    assert [files(first, source) for source in Source] == [files(second, source) for source in Source]
    assert all(each.snapshot.xmax > first.chunks[0].snapshot.xmax for each in second.chunks)
    assert all(snapshot.xmax > first.chunks[0].snapshot.xmax for snapshot in second.since.values())


def test_months_that_changed_are_written_again_once_they_have_rested(build):
    event(1, MAY)
    event(2, JUNE)
    first = build()
    event(3, MAY)
    soon = build()
    assert files(soon) == files(first), "each part takes its share of time only"
    assert soon.of(Source.EVENTS)[0].snapshot == first.of(Source.EVENTS)[0].snapshot
    second = later(build)
    assert [each.rows for each in second.of(Source.EVENTS)] == [2, 1]
    assert (files(second)[0] != files(first)[0], files(second)[1]) == (True, files(first)[1])
    assert not (folder() / files(first)[0]).exists()


def test_months_that_get_their_first_rows_are_written_at_once(build):
    event(1, MAY)
    build()
    event(1, JUNE)
    order(1, JUNE)
    copy = build()
    assert (months(copy), months(copy, Source.ORDERS)) == (
        [date(2026, 5, 1), date(2026, 6, 1)],
        [date(2026, 6, 1)],
    )


def test_months_without_rows_any_more_are_taken_off(build):
    event(1, MAY)
    event(1, JUNE)
    build()
    run("DELETE FROM behaviour_events WHERE at < '2026-06-01'")
    assert [each.rows for each in later(build).of(Source.EVENTS)] == [0, 1]
    copy = build()
    assert months(copy) == [date(2026, 6, 1)]
    assert sorted(path.name for path in folder().glob("events*")) != files(copy), "a stray for an hour"
    with shifted(timedelta(hours=2)):
        build()
    assert sorted(path.name for path in folder().glob("events*")) == files(copy)


def test_what_has_missed_most_comes_first_and_what_nobody_listed_before_it(build, committed):
    for month in (4, 5, 6):
        event(1, MAY.replace(month=month))
    build()
    for person in (1, 2, 3):
        event(person, MAY)
    many = "INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id) SELECT '2026-04-02', i, 1, '{}', 's', i FROM generate_series(1, 10001) i"  # fmt: skip
    run(many)
    event(1, JUNE)
    committed.commit()
    with shifted(LATER):
        found = jobs.look_over()
        parts = refreshing.due_parts(found)
    assert [part.month.month for part in parts] == [4, 5, 6]
    assert not found.absent


def test_few_changes_wait_longer_but_not_until_they_are_forgotten(build, monkeypatch, columns):
    monkeypatch.setattr(refreshing, "FEW", 2)
    columns(kept_minutes=120, refresh_share=0.0001)
    event(1, MAY)
    first = build()
    rest = timedelta(seconds=first.of(Source.EVENTS)[0].seconds / 0.0001)
    monkeypatch.setattr(refreshing, "PATIENCE", timedelta(minutes=500) / rest)
    event(2, MAY)
    with shifted(timedelta(minutes=40)):
        assert files(build()) == files(first)
    with shifted(timedelta(minutes=61)):
        assert build().of(Source.EVENTS)[0].rows == 2


def test_a_change_that_was_forgotten_makes_its_month_new_at_once(build, committed, monkeypatch):
    monkeypatch.setattr(refreshing, "FEW", 100)
    event(1, MAY)
    first = build()
    event(2, MAY)
    committed.commit()
    settle()
    with transaction():
        jobs.noting.forget_all_changes()
    copy = build()
    assert (files(copy) != files(first), copy.of(Source.EVENTS)[0].rows) == (True, 2)


def test_of_a_part_whose_changes_are_forgotten_nobody_says_that_it_is_wrong(build, committed):
    event(1, MAY)
    copy = build()
    event(2, MAY)
    committed.commit()
    settle()
    with transaction():
        jobs.noting.forget_all_changes()
    assert jobs.check(copy.of(Source.EVENTS)[0]) is None


def test_a_killed_writer_loses_one_month_only_and_leaves_no_rubbish(build, committed, monkeypatch):
    event(1, MAY)
    event(1, JUNE)
    committed.commit()
    reached = iter(["people", "June"])

    def die(place):
        if next(reached, None) is None:
            raise KeyboardInterrupt(place)

    monkeypatch.setattr(refreshing, "reached", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.refresh(60)
    half = read_copy()
    assert (months(half), set(half.since)) == ([date(2026, 6, 1)], {Source.ORDERS}), (
        "nobody takes May for empty"
    )
    monkeypatch.setattr(refreshing, "reached", lambda place: None)
    copy = build()
    assert (months(copy), files(copy)[1]) == ([date(2026, 5, 1), date(2026, 6, 1)], files(half)[0])
    assert len(list(folder().glob("events*"))) == 3
    with shifted(timedelta(hours=2)):
        build()
    assert len(list(folder().glob("events*"))) == 2


def test_a_month_that_cannot_be_written_keeps_no_other_waiting(committed, columns, monkeypatch):
    event(1, MAY)
    event(1, JUNE, 1, long="x" * 100)
    event(1, JUNE, event_type(long="text"), long="x" * 10_000)
    order(1, MAY)
    committed.commit()
    monkeypatch.setattr(laying, "LONGEST_LINE", 1000)
    assert jobs.refresh(60), "tried once in a run"
    copy = read_copy()
    assert (months(copy), set(copy.since)) == ([date(2026, 5, 1)], {Source.ORDERS})
    monkeypatch.setattr(laying, "LONGEST_LINE", 1_000_000)
    assert jobs.refresh(60)
    assert set(read_copy().since) == {Source.EVENTS, Source.ORDERS}


def test_a_long_build_gives_way_and_goes_on(committed, columns):
    for month in (4, 5, 6):
        event(1, MAY.replace(month=month))
    committed.commit()
    runs = 0
    while not jobs.refresh(0):
        runs += 1
        jobs.write(jobs.look_over().copy, jobs.look_over().absent[0])
    copy = read_copy()
    assert (runs, len(months(copy)), set(copy.since)) == (4, 3, {Source.EVENTS, Source.ORDERS})


def test_a_copy_of_another_database_or_of_other_days_is_made_anew(build, settings, app, monkeypatch):
    event(1, MAY)
    first = build()
    run("UPDATE column_base SET key = gen_random_uuid()")
    second = build()
    assert (second.base != first.base, files(second) != files(first)) == (True, True)
    told = app.extensions["scrm_settings"]
    corp = told.corp.model_copy(update={"timezone": "Asia/Tokyo"})
    monkeypatch.setitem(app.extensions, "scrm_settings", told.model_copy(update={"corp": corp}))
    third = build()
    assert (third.zone, files(third) != files(second)) == ("Asia/Tokyo", True)


def test_a_file_that_is_gone_is_written_again(build):
    event(1, MAY)
    first = build()
    (folder() / files(first)[0]).unlink()
    assert (folder() / files(build())[0]).exists()


def test_other_properties_of_a_type_get_their_columns(build, committed):
    type_id = event_type(a="text")
    event(1, MAY, type_id, a="x", b=1, c="odd")
    build()
    told = [{"key": key, "type": kind} for key, kind in {"a": "text", "b": "number", "c": "number"}.items()]
    committed.get(EventType, type_id).properties = told
    copy = later(build)
    assert copy.of(Source.EVENTS)[0].typed == {type_id: {"a": "text", "b": "number"}}
    with shifted(LATER):
        assert files(later(build)) == files(copy), "what does not fit is tried once"


def test_merged_persons_are_one_in_the_copy(build, committed):
    committed.execute(text("INSERT INTO people (id) OVERRIDING SYSTEM VALUE VALUES (71), (72)"))
    event(71, MAY)
    event(72, MAY)
    order(72, MAY)
    build()
    with transaction():
        merge(71, 72, "t")
    copy = later(build)
    assert written(copy.of(Source.EVENTS)[0], "SELECT DISTINCT person_id FROM events_1") == [(71,)]
    assert written(copy.of(Source.ORDERS)[0], "SELECT DISTINCT person_id FROM orders") == [(71,)]


def test_detached_months_leave_and_attached_ones_come_back(build, committed):
    month = month_after(newest_detachable(), -100)  # nobody else makes it
    with transaction():
        made = make_months(committed.connection(), [month])
    try:
        event(1, datetime(month.year, month.month, 5, tzinfo=UTC))
        event(1, MAY)
        assert months(build()) == [month, date(2026, 5, 1)]
        with transaction():
            detach_month("behaviour_events", month)
        copy = build()
        assert (months(copy), copy.detached) == ([date(2026, 5, 1)], {month})
        with transaction():
            attach_month("behaviour_events", month)
        copy = build()
        assert (months(copy), copy.detached) == ([month, date(2026, 5, 1)], frozenset())
    finally:
        for name in made:
            run(f"DROP TABLE {name}")
    assert partition_name("behaviour_events", month) in made


def test_what_is_not_wanted_goes_with_its_changes(build, committed, columns):
    event(1, MAY)
    build()
    event(2, MAY)
    columns(enabled=False)
    committed.commit()
    assert jobs.refresh_columns.due()
    assert build() is None
    assert list(folder().iterdir()) == []
    assert not jobs.refresh_columns.due()
    assert jobs.forget_column_changes.due()
    settle()
    jobs.forget_column_changes()
    assert not jobs.forget_column_changes.due()


def test_what_is_not_wanted_goes_also_when_the_list_went_before(build, columns):
    """Files hold what persons did: a killed job leaves none of them for good; others in the folder are nobody's business."""
    event(1, MAY)
    build()
    (folder() / "columns.json").unlink()
    (folder() / "mine.duckdb").touch()
    columns(enabled=False)
    assert jobs.refresh_columns.due()
    jobs.refresh(60)
    assert [path.name for path in folder().iterdir()] == ["mine.duckdb"]
    assert not jobs.refresh_columns.due()


def test_changes_are_forgotten_after_a_time(build, committed):
    event(1, MAY)
    build()
    event(2, MAY)
    committed.commit()
    counted = "SELECT count(*) FROM column_changes"
    left = []
    for hours in (0, 4, 4, 8):
        settle()
        with shifted(timedelta(hours=hours, minutes=hours)):
            jobs.forget_column_changes()
        left.append(committed.scalar(text(counted)))
        committed.rollback()
    assert left == [2, 2, 2, 0]


def test_a_full_disk_leaves_the_copy_as_it_was(build, committed):
    event(1, MAY)
    first = build()
    event(2, MAY)
    committed.commit()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # of every file that this process writes
    try:
        with shifted(LATER):
            jobs.refresh(60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (files(read_copy()), read_copy().of(Source.EVENTS)[0].snapshot) == (
        files(first),
        first.of(Source.EVENTS)[0].snapshot,
    )
    assert not list(folder().glob(".building-*"))
    assert later(build).of(Source.EVENTS)[0].rows == 2


def test_one_writer_at_a_time(build, committed, monkeypatch):
    event(1, MAY)
    committed.commit()
    with jobs.leader(jobs.LOCK) as held:
        assert held is not None
        jobs.refresh_columns()
        assert read_copy() is None
    jobs.refresh_columns()
    assert months(read_copy()) == [date(2026, 5, 1)]
    assert utcnow() - read_copy().chunks[0].as_of < timedelta(minutes=1)


def test_a_database_that_was_restored_is_another_one(build, committed):
    event(1, MAY)
    first = build()
    committed.execute(text("CREATE TEMP TABLE column_base AS SELECT * FROM column_base"))
    assert committed.scalar(text("SELECT key FROM column_base")) == committed.scalar(
        text("SELECT key FROM public.column_base")
    )
    base = text(f"SELECT {BASE} FROM column_base")  # noqa: S608  # a constant
    assert committed.scalar(base) != first.base
    committed.rollback()
    assert committed.scalar(base) == first.base


def test_the_metrics_tell_of_the_parts(build):
    event(1, MAY)
    build()
    told = exposition().decode()
    assert 'scrm_columns_parts{source="behaviour_events"} 1.0' in told
    assert 'scrm_columns_parts{source="orders"} 0.0' in told
