"""Slots of the week and of dates: membership, overlaps and when to ask again, in zones with and without summer time."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.slots import DAY, DateSlot, WeekSlot, day_begin, first_overlap, next_change
from tests.profiles import examples

SHANGHAI, BERLIN, LORD_HOWE = (
    ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe")
)
minutes = st.integers(0, DAY - 1)
week_slots = st.builds(WeekSlot, st.frozensets(st.integers(1, 7), min_size=1), minutes, st.integers(1, DAY))
date_slots = st.builds(
    lambda first, days, begin, end: DateSlot(first, first + timedelta(days=days), begin, end),
    st.dates(date(2026, 3, 20), date(2026, 4, 10)), st.integers(0, 5), minutes, st.integers(1, DAY),
)  # fmt: skip
# around both changes of the clocks of Berlin and Lord Howe (which moves by half an hour)
moments = st.one_of(
    st.integers(0, 11 * DAY * 60).map(lambda s: datetime(2026, 3, 27, tzinfo=UTC) + timedelta(seconds=s)),
    st.integers(0, 26 * DAY * 60).map(lambda s: datetime(2026, 10, 2, tzinfo=UTC) + timedelta(seconds=s)),
)
zones = st.sampled_from([SHANGHAI, BERLIN, LORD_HOWE])


def at(zone, *parts):
    return datetime(*parts, tzinfo=zone)


def test_a_slot_over_midnight_belongs_to_the_day_on_which_it_begins():
    friday_night = WeekSlot(frozenset({5}), 22 * 60, 6 * 60)
    assert friday_night.covers(at(SHANGHAI, 2026, 3, 27, 22, 0))
    assert friday_night.covers(at(SHANGHAI, 2026, 3, 28, 5, 59))
    assert not friday_night.covers(at(SHANGHAI, 2026, 3, 28, 6, 0))
    assert not friday_night.covers(at(SHANGHAI, 2026, 3, 27, 5, 0))
    assert not friday_night.covers(at(SHANGHAI, 2026, 3, 28, 22, 0))


def test_a_slot_over_midnight_on_sunday_reaches_into_monday():
    sunday_night = WeekSlot(frozenset({7}), 22 * 60, 60)
    assert sunday_night.covers(at(SHANGHAI, 2026, 3, 30, 0, 30))  # a Monday
    assert (0, 60) in sunday_night.spans()


def test_dates_hold_on_both_ends_and_over_midnight():
    holidays = DateSlot(date(2026, 10, 1), date(2026, 10, 7), 0, DAY)
    assert holidays.covers(at(SHANGHAI, 2026, 10, 1, 0, 0))
    assert holidays.covers(at(SHANGHAI, 2026, 10, 7, 23, 59))
    assert not holidays.covers(at(SHANGHAI, 2026, 10, 8, 0, 0))
    nights = DateSlot(date(2026, 10, 1), date(2026, 10, 1), 20 * 60, 2 * 60)
    assert nights.covers(at(SHANGHAI, 2026, 10, 2, 1, 59))


def shared(slots, first, days):
    """Whether two hold at once: if they do, then also at the moment at which the later of them begins."""
    begins = {slot.begin for slot in slots}
    walls = (first + timedelta(days=day, minutes=minute) for day in range(days) for minute in begins)
    return any(sum(slot.covers(wall) for slot in slots) > 1 for wall in walls)


@given(st.lists(week_slots, min_size=2, max_size=5))
def test_an_overlap_is_found_exactly_when_two_slots_hold_at_once(slots):
    assert (first_overlap(slots) is not None) == shared(slots, at(UTC, 2026, 3, 2), 7)


@given(st.lists(date_slots, min_size=2, max_size=4))
def test_overlaps_of_dates_are_found_exactly(slots):
    assert (first_overlap(slots) is not None) == shared(slots, at(UTC, 2026, 3, 19), 40)


def test_an_overlap_names_both_slots_and_the_moment():
    slots = [
        WeekSlot(frozenset({1}), 0, 60),
        WeekSlot(frozenset({2}), 540, 1080),
        WeekSlot(frozenset({1, 2}), 600, 660),
    ]
    found = first_overlap(slots)
    assert (found.first, found.second, found.when) == (1, 2, "Tuesday 10:00")


@examples(60)
@given(st.lists(week_slots | date_slots, max_size=4), zones, moments)
def test_nothing_changes_before_the_moment_to_ask_again(slots, zone, now):
    until = next_change(slots, zone, now)
    assert now < until <= now + timedelta(hours=25, minutes=1)

    def state(moment):
        wall = moment.astimezone(zone)
        return [slot.covers(wall) for slot in slots], wall.date()

    before = state(now)
    step = now
    while (step := step + timedelta(minutes=1)) < until:
        assert state(step) == before
    assert state(until - timedelta(microseconds=1)) == before


@pytest.mark.parametrize(
    ("moment", "hours"),
    [((2026, 3, 29, 12), 23), ((2026, 10, 25, 12), 25), ((2026, 6, 1, 12), 24)],
)
def test_the_day_the_clocks_change_has_another_length(moment, hours):
    noon = at(BERLIN, *moment)
    begin, end = day_begin(BERLIN, noon), day_begin(BERLIN, noon + timedelta(days=1))
    assert end - begin == timedelta(hours=hours)
    assert begin.astimezone(BERLIN).hour == 0


def test_a_slot_in_the_hour_that_does_not_exist_holds_not_at_all_and_in_the_hour_that_comes_twice_twice():
    slot = WeekSlot(frozenset(range(1, 8)), 2 * 60 + 15, 2 * 60 + 45)

    def held(day):
        begin, end = day_begin(BERLIN, day), day_begin(BERLIN, day + timedelta(days=1))
        count = int((end - begin).total_seconds() / 60)
        return sum(slot.covers((begin + timedelta(minutes=m)).astimezone(BERLIN)) for m in range(count))

    days = (at(BERLIN, 2026, 3, 29, 12), at(BERLIN, 2026, 6, 1, 12), at(BERLIN, 2026, 10, 25, 12))
    assert [held(day) for day in days] == [0, 30, 60]
