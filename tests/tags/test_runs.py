"""Runs of rules: progress, pause, resume, cancel, versions, the daily look."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from tags.models import AssignmentState as S
from tags.models import RuleState, Schedule
from tags.rules import jobs
from tags.rules.service import saving
from tags.rules.service.days import next_daily
from tags.rules.service.working import advance_run
from tests.tags.cases import timedelta
from tests.tags.test_api import problem, send
from tests.tags.test_rules import VIP, due, evaluate, make_rule, rename


@pytest.fixture
def half_done(world):
    """A backfill of a rule over six customers that did two of them."""
    follows = [world.followed(name="vip") for _ in range(6)]
    tag = world.tag()
    rule = make_rule(VIP, tag)
    with transaction():
        run = saving.start_backfill(rule.id)
    with transaction():
        assert advance_run(run.id, limit=2)
    return follows, tag, f"/rules/{rule.id}/runs/{run.id}"


def carrying(world, follows, tag):
    return sum(world.states(follow).get(tag.id) == S.PENDING_ADD for follow in follows)


def test_a_run_says_how_fast_it_is_and_how_long_it_will_take(api, half_done):
    told = send(api, "get", half_done[2])
    assert (told["state"], told["seen"], told["left"], told["paused"]) == ("running", 2, 4, False)
    assert told["rate"] > 0
    assert told["seconds_left"] == pytest.approx(4 / told["rate"])


def test_a_paused_run_rests_until_it_is_resumed(api, world, half_done):
    follows, tag, path = half_done
    assert send(api, "post", f"{path}/pause")["paused"] is True
    jobs.backfill_rules.func()
    assert carrying(world, follows, tag) == 2
    assert not jobs.backfill_rules.due()
    assert send(api, "post", f"{path}/resume")["paused"] is False
    jobs.backfill_rules.func()
    assert send(api, "get", path)["state"] == "done"
    assert carrying(world, follows, tag) == 6
    send(api, "post", f"{path}/pause", status=409)


def test_a_cancelled_run_stays_as_far_as_it_came_and_can_be_undone(api, world, half_done):
    follows, tag, path = half_done
    assert send(api, "post", f"{path}/cancel")["state"] == "cancelled"
    jobs.backfill_rules.func()
    assert carrying(world, follows, tag) == 2
    send(api, "post", f"{path}/resume", status=409)
    send(api, "post", f"{path}/undo", status=202)
    send(api, "post", f"{path}/cancel", status=409)
    jobs.backfill_rules.func()
    assert carrying(world, follows, tag) == 0


def test_versions_say_in_words_what_changed_and_an_old_one_can_be_activated(api, world):
    gold, silver = world.tag("gold"), world.tag("silver")
    rule = send(api, "post", "/rules", {"name": "r", "condition": VIP, "add_tag_ids": [gold.id]}, 201)
    path = f"/rules/{rule['id']}"
    changed = {"condition": {**VIP, "value": "svip"}, "add_tag_ids": [silver.id], "expire_after_days": 30}
    send(api, "patch", path, {**changed, "name": "s", "priority": 4})
    newest, first = send(api, "get", f"{path}/versions")["items"]
    assert first["changes"] == {"zh": [], "en": []}
    assert newest["changes"]["en"] == [
        "condition: name is 「vip」 → name is 「svip」", "no longer adds gold", "also adds silver",
        "takes tags away 30 days after",
    ]  # fmt: skip
    assert newest["changes"]["zh"][1:] == ["不再加：gold", "再加：silver", "30天后去掉标签"]
    assert send(api, "get", f"{path}/changes")["items"][0]["changes"] == {
        "name": ["r", "s"],
        "priority": [0, 4],
    }
    restored = send(api, "post", f"{path}/versions/1/activate", {})
    assert (restored["version"], restored["add_tag_ids"], restored["expire_after_days"]) == (
        3,
        [gold.id],
        None,
    )
    assert send(api, "get", f"{path}/versions")["items"][0]["restored_from"] == 1
    send(api, "post", f"{path}/versions/9/activate", {}, 404)


def test_a_daily_rule_is_not_woken_by_events_and_looks_once_a_day(world, session):
    follow, tag = world.followed(name="x"), world.tag()
    rule = make_rule(VIP, tag, schedule=Schedule.DAILY, daily_at="03:00")
    rename(follow.customer_id, "vip")
    assert due(session) == []
    assert not jobs.start_daily_rules.due()
    with shifted(rule.daily_next - utcnow() + timedelta(seconds=1)):
        assert jobs.start_daily_rules.due()
        jobs.start_daily_rules.func()
        assert not jobs.start_daily_rules.due(), "once"
        jobs.backfill_rules.func()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_a_rule_may_do_both_and_a_paused_one_does_neither(world, session):
    follow, tag = world.followed(name="x"), world.tag()
    rule = make_rule(VIP, tag, schedule=Schedule.BOTH, daily_at="03:00")
    rename(follow.customer_id, "vip")
    evaluate()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert rule.daily_next is not None
    with transaction():
        saving.change_rule(rule.id, {"state": RuleState.PAUSED}, "test")
    assert rule.daily_next is None


def test_the_time_of_day_is_that_of_the_corps_zone(session, settings):
    assert settings.corp.zone == ZoneInfo("Asia/Shanghai")
    evening = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)  # 04:30 on the 2nd in Shanghai
    assert next_daily(evening, "05:00") == datetime(2026, 3, 1, 21, 0, tzinfo=UTC)
    assert next_daily(evening, "04:30") == datetime(2026, 3, 2, 20, 30, tzinfo=UTC)


def test_a_daily_schedule_needs_its_time(api, world):
    rule = {"name": "r", "condition": VIP, "add_tag_ids": [world.tag().id], "schedule": "daily"}
    assert problem(api, "post", "/rules", rule)[0] == "daily_at"
    assert problem(api, "post", "/rules", {**rule, "daily_at": "25:00"})[0] == "daily_at"
