"""A month that was detached: what it held counts no more, nothing of it comes in again, and it can be put back."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from scrm.behaviour.service.counting import count_month, uncount_month
from scrm.kernel.detaching import (
    attach_month,
    detach_month,
    months_of,
    newest_detachable,
    note_settled,
    partition_name,
    unsettled_months,
)
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.partitions import month_after

EVENTS = "behaviour_events"


@pytest.fixture
def month():
    return month_after(newest_detachable(), -3)


@pytest.fixture
def day(month):
    """A moment of a day of that month."""
    return lambda number: datetime(month.year, month.month, number, 12, tzinfo=UTC).isoformat()


def days(session):
    return session.execute(text("SELECT CAST(day AS text), count FROM event_days ORDER BY 1")).all()


def stored(session):
    return session.scalars(text("SELECT source_id FROM behaviour_events ORDER BY 1")).all()


def state(table, month):
    return next((one.attached for one in months_of(table) if one.month == month), None)


def detach(month):
    detach_month(EVENTS, month)
    uncount_month(partition_name(EVENTS, month))
    note_settled(EVENTS, month)


def attach(month):
    attach_month(EVENTS, month)
    count_month(partition_name(EVENTS, month))


def test_a_detached_month_counts_no_more_and_is_whole_when_it_comes_back(session, send, event, month, day):
    send(event("old", at=day(5)), event("new"))
    before = days(session)
    detach_month(EVENTS, month)
    assert unsettled_months() == [(EVENTS, month)]
    uncount_month(partition_name(EVENTS, month))
    note_settled(EVENTS, month)
    assert (stored(session), unsettled_months(), state(EVENTS, month)) == (["new"], [], False)
    assert days(session) == [("2026-11-01", 1)]
    attach(month)
    assert (stored(session), days(session), state(EVENTS, month)) == (["new", "old"], before, True)


def test_rows_of_a_detached_month_are_refused_unless_they_are_known(session, send, event, month, day):
    send(event("old", at=day(5)), event("recent"))
    detach(month)
    answer = send(event("old", at=day(5)), event("late", at=day(6)), event("recent", at=day(7)), event("x"))
    assert [row["status"] for row in answer["results"]] == ["unchanged", "refused", "refused", "created"]
    assert f"{month:%Y-%m}, which was detached" in answer["results"][1]["problem"]["at"]
    assert stored(session) == ["recent", "x"]
    attach(month)
    assert [r["status"] for r in send(event("late", at=day(6)))["results"]] == ["created"]


def test_a_month_that_was_dropped_does_not_come_back_by_itself(session, send, event, month, day):
    send(event("old", at=day(5)))
    detach(month)
    session.execute(text(f"DROP TABLE {partition_name(EVENTS, month)}"))
    answer = send(event("old", at=day(5)), event("late", at=day(6)))
    assert [row["status"] for row in answer["results"]] == ["unchanged", "refused"]
    assert (state(EVENTS, month), stored(session)) == (False, [])
    with pytest.raises(NotFound):
        attach_month(EVENTS, month)


def test_rows_that_slipped_into_the_default_partition_move_back(session, send, event, month, day):
    send(event("old", at=day(5)))
    detach(month)
    session.execute(
        text("""INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
          VALUES (:at, 1, 1, '{}', 'mall', 'stray')"""),
        {"at": day(9)},
    )
    attach(month)
    held = text(f"SELECT count(*) FROM {partition_name(EVENTS, month)}")  # noqa: S608
    assert session.scalar(held) == 2


def test_timelines_keep_what_was_done_in_a_detached_month(api, session, send, event, month, day):
    identities = {"external_userid": "wm1"}
    from scrm.customers.service.wanting import ensure_customers
    from scrm.kernel.db import transaction
    from scrm.portraits.service import match_person_entries

    with transaction():
        customer = ensure_customers(["wm1"])["wm1"]
    send(event("old", at=day(5), identities=identities), event("new", identities=identities))
    detach(month)
    match_person_entries(session.scalars(text("SELECT id FROM people")).all())
    page = api.get(f"/api/v1/customers/{customer}/timeline").json["items"]
    assert sum(one["kind"] == "event.done" for one in page) == 2
    detach_month("timeline", month)
    match_person_entries(session.scalars(text("SELECT id FROM people")).all())
    page = api.get(f"/api/v1/customers/{customer}/timeline").json["items"]
    assert sum(one["kind"] == "event.done" for one in page) == 1


def test_new_months_and_other_tables_are_not_detached(session, month):
    with pytest.raises(InvalidInput):
        detach_month(EVENTS, newest_detachable())
    with pytest.raises(InvalidInput):
        detach_month("messages", month)
    with pytest.raises(NotFound):
        detach_month(EVENTS, month_after(month, -300))
    with pytest.raises(NotFound):
        attach_month(EVENTS, month)
