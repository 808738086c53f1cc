"""Each figure of the limits table is kept, by the count it belongs to; the page for people shows the same table."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import ApiLimits, load_settings
from scrm.wecom.errors import RateLimited
from scrm.wecom.governor import Governor
from scrm.wecom.limits import Rules
from scrm.wecom.limits_table import (
    CALLS_AT_ONCE,
    DAY,
    EVERY,
    HOUR,
    LIMITS,
    MINUTE,
    MONTH,
    SEND,
    Per,
    members_of,
)
from scrm.wecom.models import Priority
from tests.scrm.wecom.conftest import Clock, governor

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"
WINDOWS = {MINUTE: "minute", HOUR: "hour", DAY: "day", MONTH: "month"}
COUNTED = {Per.CORP: "corp + API", Per.APP: "app + API", Per.MEMBER: "app + member"}
UPLOADIMG = "media/uploadimg"


@pytest.fixture
def clock():
    made = Clock()
    made.ms = int(datetime(2026, 12, 1, 1, tzinfo=UTC).timestamp() * 1000)  # nine in the morning in Beijing
    return made


def grants(gov: Governor, api: str, most: int, sent: dict | None = None, priority=Priority.WELCOME) -> int:
    for count in range(most):
        turn, release = gov.try_turn(api, priority, sent or {})
        if not turn.granted:
            return count
        release()
    return most


def test_the_page_shows_the_table():
    rows = re.findall(
        r"^\| `?([a-z_/]+)`? \| (.+?) \| (.+?) \| ([\d,]+) \| (\w+) \| (.+?) \|$",
        PAGE.read_text(),
        re.MULTILINE,
    )
    table = [
        (
            "every" if row.api == EVERY else row.api,
            COUNTED[row.per],
            row.only or "all",
            f"{row.figure:,}",
            WINDOWS[row.window],
            row.source,
        )
        for row in LIMITS
    ]
    assert rows == table
    for api, (calls, source) in CALLS_AT_ONCE.items():
        assert f"`{api}` {calls} ({source})" in PAGE.read_text()


def test_the_default_configuration_is_the_base_of_the_table():
    base = {row.window: row.figure for row in LIMITS if row.api == EVERY}
    governor = load_settings().governor
    assert base == {MINUTE: governor.per_minute, HOUR: governor.per_hour}


def test_all_apps_of_the_corp_share_the_count_of_an_api(shared, settings, clock):
    one, two = (governor(shared, settings, clock, app, per_minute=600) for app in ("main", "other"))
    assert grants(one, "externalcontact/get", 40) + grants(two, "externalcontact/get", 40) == 60


def test_what_wecom_counts_per_app_is_kept_per_app(shared, settings, clock):
    one, two = (governor(shared, settings, clock, app) for app in ("main", "other"))
    assert grants(one, "ticket/get", 100) == 50  # the burst of 100 an hour
    assert grants(two, "ticket/get", 100) == 50
    one.cool_down("ticket/get", RateLimited("ticket/get", 45009, "limit"))
    assert set(one.closed(["ticket/get"])) == {"ticket/get"}
    assert two.closed(["ticket/get"]) == {}


def test_a_block_of_an_api_of_the_corp_closes_it_for_all_apps(shared, settings, clock):
    one, two = (governor(shared, settings, clock, app) for app in ("main", "other"))
    one.cool_down("externalcontact/get", RateLimited("externalcontact/get", 45009, "limit"))
    assert set(two.closed(["externalcontact/get"])) == {"externalcontact/get"}


def test_a_member_never_gets_more_than_thirty_messages_a_minute(shared, settings, clock):
    gov = governor(shared, settings, clock)
    to_both = {"touser": "ZhangSan|lisi"}
    sent = grants(gov, SEND, 100, to_both)
    assert grants(gov, SEND, 100, {"touser": "zhangsan"}) == 0  # ids are compared without case
    assert grants(gov, SEND, 100, {"touser": "wangwu"}) == sent  # somebody else is not concerned
    for _ in range(60):
        clock.ms += 1000
        sent += grants(gov, SEND, 100, to_both)
    assert 28 <= sent <= 30


def test_nor_more_than_a_thousand_an_hour(shared, settings, clock):
    gov = governor(shared, settings, clock)
    sent = 0
    for _ in range(60):
        clock.ms += 60_000
        sent += grants(gov, SEND, 100, {"touser": "zhangsan"})
    assert 900 <= sent <= 1000


def test_messages_to_members_do_not_use_up_the_base_rate(shared, settings, clock):
    gov = governor(shared, settings, clock, per_minute=10)
    assert grants(gov, SEND, 50, {"touser": "@all"}) == 50


def test_the_messages_of_an_app_a_day_are_counted_in_persons(shared, settings, clock):
    gov = governor(shared, settings, clock, accounts=2)  # 400 a day
    many = {"touser": "|".join(f"u{n}" for n in range(100))}
    clock.ms += 3_600_000
    assert grants(gov, SEND, 10, many) == 4
    turn, _ = gov.try_turn(SEND, Priority.WELCOME, {"touser": "somebody-else"})
    assert (turn.granted, turn.why) == (False, "quota")


def test_members_are_counted_once_and_without_case():
    assert members_of({"touser": "Zhang|li|ZHANG|"}) == ["li", "zhang"]
    assert members_of({"touser": "@all"}) == []
    assert members_of({"toparty": "1"}) == []


def test_a_day_holds_its_figure_until_beijings_midnight(shared, settings, clock):
    gov = governor(shared, settings, clock, limits=(ApiLimits(api=UPLOADIMG, per_day=20),))
    assert grants(gov, UPLOADIMG, 100) == 20
    turn, _ = gov.try_turn(UPLOADIMG, Priority.WELCOME)
    assert (turn.why, turn.wait_ms) == ("quota", 15 * HOUR * 1000)  # from nine to midnight
    clock.ms += 15 * HOUR * 1000 - 1
    assert grants(gov, UPLOADIMG, 1) == 0
    clock.ms += 1
    assert grants(gov, UPLOADIMG, 100) == 20


def test_no_thirty_one_days_hold_more_than_a_months_figure(shared, settings, clock):
    gov = governor(shared, settings, clock, limits=(ApiLimits(api=UPLOADIMG, per_day=20, per_month=50),))
    by_day = []
    for _ in range(40):
        by_day.append(grants(gov, UPLOADIMG, 100))
        clock.ms += DAY * 1000
    assert by_day[:4] == [20, 20, 10, 0]
    assert all(sum(by_day[n : n + 31]) <= 50 for n in range(40))
    assert by_day[31] == 20  # the first day is forgotten


def test_uploadimg_and_tokenless_reading_are_held_to_their_figures(shared, settings, clock):
    gov = governor(shared, settings, clock)
    assert grants(gov, UPLOADIMG, 1100) == 1000
    without, with_token = {"cursor": ""}, {"token": "T"}
    sent = grants(gov, "kf/sync_msg", 50, without)
    assert grants(gov, "kf/sync_msg", 50, with_token) == 50
    for _ in range(60):
        clock.ms += 1000
        sent += grants(gov, "kf/sync_msg", 50, without)
    assert 9 <= sent <= 10


def test_the_stricter_figure_of_a_window_holds(settings):
    windows = {
        window.row.window: window.row
        for window in Rules(settings.governor, "msgaudit/get_robot_info").windows
    }
    assert (windows[MINUTE].figure, windows[MINUTE].source) == (600, "8.4")
    assert windows[HOUR].figure == 150_000


def test_the_configuration_wins_over_the_table(settings):
    own = ApiLimits(api="msgaudit/get_robot_info", per_minute=1200, concurrent=3)
    rules = Rules(settings.governor.model_copy(update={"limits": (own,)}), own.api)
    minute = next(window.row for window in rules.windows if window.row.window == MINUTE)
    assert (minute.figure, minute.source, rules.calls) == (1200, "governor.limits", 3)


def test_blocks_grow_from_a_minute_to_an_hour_and_where_days_count_to_midnight(shared, settings, clock):
    gov = governor(shared, settings, clock)
    longest = {}
    for api in ("externalcontact/get", UPLOADIMG):
        closed = []
        for _ in range(12):
            closed.append(gov.cool_down(api, RateLimited(api, 45009, "limit")))
            clock.ms += int(closed[-1] * 1000) + 1000
        assert 60 <= closed[0] <= 72
        longest[api] = max(closed)
    assert 3600 <= longest["externalcontact/get"] <= 3600 * 1.2
    assert 2 * 3600 < longest[UPLOADIMG] <= 24 * 3600 * 1.2
