"""Which rule answers: keywords, priority and office hours at their edges."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.conversations.models import AutoReply, Channel, MatchKind
from scrm.conversations.service.matching import first_match, is_open

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)  # Wednesday 12:00 in Shanghai


def rule(**values):
    defaults = {
        "id": 1,
        "channel": Channel.KF,
        "match": MatchKind.CONTAINS,
        "keywords": ["价格"],
        "office_hours": None,
        "outside_office_hours": False,
    }
    return AutoReply(**{**defaults, **values})


def answer(text, *rules, channel=Channel.KF, at=NOON):
    return first_match(rules, channel, text, at, SHANGHAI)


@pytest.mark.parametrize(
    ("match", "text", "fires"),
    [
        (MatchKind.CONTAINS, "请问价格多少", True),
        (MatchKind.CONTAINS, "请问多少钱", False),
        (MatchKind.EXACT, "  价格 ", True),
        (MatchKind.EXACT, "价格?", False),
        (MatchKind.STARTS_WITH, "价格多少", True),
        (MatchKind.STARTS_WITH, "问价格", False),
    ],
)
def test_keywords_match_the_way_the_rule_says(match, text, fires):
    assert (answer(text, rule(match=match)) is not None) is fires


def test_case_and_surrounding_space_do_not_matter():
    assert answer("\n PRICE list", rule(match=MatchKind.STARTS_WITH, keywords=["Price "])) is not None


def test_the_first_rule_in_order_decides_and_other_channels_do_not_count():
    first, second = rule(id=1, keywords=["价"]), rule(id=2)
    assert answer("价格", first, second) is first
    assert answer("价格", rule(id=3, channel=Channel.APP), second) is second
    assert answer("价格", second, channel=Channel.APP) is None


HOURS = {"days": [1, 2, 3, 4, 5], "from": "09:00", "to": "18:00"}
NIGHT = {"days": [5], "from": "22:00", "to": "06:00"}


def at(day, clock):
    """A day of the week from Monday 2026-11-16 on, in Shanghai."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, 15 + day, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("hours", "day", "clock", "is_it"),
    [
        (HOURS, 1, "08:59", False),
        (HOURS, 1, "09:00", True),
        (HOURS, 5, "17:59", True),
        (HOURS, 5, "18:00", False),
        (HOURS, 6, "12:00", False),
        (HOURS, 7, "12:00", False),
        (NIGHT, 5, "21:59", False),
        (NIGHT, 5, "22:00", True),
        (NIGHT, 6, "05:59", True),
        (NIGHT, 6, "06:00", False),
        (NIGHT, 5, "03:00", False),
        ({"days": [7], "from": "22:00", "to": "06:00"}, 1, "05:00", True),
        ({"days": [1], "from": "00:00", "to": "24:00"}, 1, "23:59", True),
        ({"days": [1], "from": "00:00", "to": "24:00"}, 2, "00:00", False),
    ],
)
def test_office_hours_at_their_edges(hours, day, clock, is_it):
    assert is_open(hours, at(day, clock), SHANGHAI) is is_it


def test_a_rule_may_work_only_outside_office_hours():
    outside = rule(office_hours=HOURS, outside_office_hours=True)
    assert answer("价格", outside, at=at(1, "12:00")) is None
    assert answer("价格", outside, at=at(1, "20:00")) is outside


@given(st.lists(st.integers(1, 7), min_size=1), st.times(), st.times(), st.datetimes(timezones=st.just(UTC)))
def test_inside_and_outside_never_both_fire(days, opens, closes, moment):
    hours = {"days": days, "from": f"{opens:%H:%M}", "to": f"{closes:%H:%M}"}
    inside = rule(office_hours=hours)
    outside = rule(office_hours=hours, outside_office_hours=True)
    assert (answer("价格", inside, at=moment) is None) != (answer("价格", outside, at=moment) is None)
