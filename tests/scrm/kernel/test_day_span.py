"""Spans of the day: over midnight, in any zone, and where clocks are put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.day_span import DaySpan

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
NIGHT = DaySpan.between("22:00", "08:00")


def moment(wall, zone=SHANGHAI):
    return datetime.fromisoformat(wall).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("wall", "within"),
    [
        ("21:59:59", False),
        ("22:00", True),
        ("23:59:59", True),
        ("00:00", True),
        ("07:59:59", True),
        ("08:00", False),
    ],
)
def test_a_span_over_midnight_holds_its_start_and_not_its_end(wall, within):
    assert NIGHT.holds(moment(f"2026-03-02 {wall}"), SHANGHAI) is within


def test_the_same_moment_may_lie_within_in_one_zone_only():
    assert NIGHT.holds(moment("2026-03-02 23:00"), SHANGHAI)
    assert not NIGHT.holds(moment("2026-03-02 23:00"), BERLIN)


def test_equal_times_and_empty_ones_span_nothing():
    for span in (DaySpan.between("", ""), DaySpan.between("09:00", "09:00")):
        assert not any(span.holds(moment(f"2026-03-02 {hour:02}:00"), SHANGHAI) for hour in range(24))


def test_the_end_of_the_night_is_the_coming_morning():
    for wall, end in (("2026-03-02 23:00", "2026-03-03 08:00"), ("2026-03-03 01:00", "2026-03-03 08:00"),
                      ("2026-03-03 08:00", "2026-03-04 08:00")):  # fmt: skip
        assert NIGHT.next_end(moment(wall), SHANGHAI) == moment(end)
    assert NIGHT.next_start(moment("2026-03-02 12:00"), SHANGHAI) == moment("2026-03-02 22:00")


def test_clocks_put_forward_and_back():
    span = DaySpan.between("01:00", "02:30")
    skipped = span.next_end(moment("2026-03-29 01:10", BERLIN), BERLIN)  # there is no 02:30 that night
    assert skipped == moment("2026-03-29 03:30", BERLIN)
    twice = moment("2026-10-25 02:40", BERLIN)  # 02:30 comes once more after this one
    assert span.next_end(twice, BERLIN) - twice == timedelta(minutes=50)


TIMES = st.times().map(lambda wall: wall.replace(microsecond=0))


@given(
    st.integers(1_577_836_800, 1_893_456_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    TIMES, TIMES, st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)  # fmt: skip
def test_the_next_end_lies_ahead_within_a_day_and_ends_the_span(now, start, end, zone_name):
    span, zone = DaySpan(start, end), ZoneInfo(zone_name)
    after = span.next_end(now, zone)
    assert timedelta(0) < after - now <= timedelta(hours=25)
    if after.astimezone(zone).time() == span.end:  # clocks that are put forward skip some ends
        assert not span.holds(after, zone)
