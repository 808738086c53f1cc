"""Losses and alarms through the API: filters, pages, figures, and nobody else's customers."""

from __future__ import annotations

import pytest

from scrm.acquisition.models import ChannelCode
from scrm.kernel.db import transaction
from scrm.losses.jobs import tell_losses
from tests.scrm.losses.conftest import add, alarms, at, deleted, left, record, seen

DAY = 60 * 24


@pytest.fixture
def story(people, session):
    """Five losses of two members, one of them through a channel code, one returned, one only found."""
    with transaction():
        code = ChannelCode(name="门店", state="ch1", staff_ids=[], tag_ids=[], contact_type=1)
        session.add(code)
    record(add(-DAY * 10, "a", state="ch1"), left(-DAY, "a"), add(-5, "a"))
    record(add(-60, "b"), deleted(0, "b"), add(-DAY * 100, "c"), deleted(1, "c"))
    record(add(-DAY * 3, "a", "ls"), left(2, "a", "ls"))
    record(add(-DAY * 400, "d", "ls"))
    seen(3, who="d")
    return {**people, "code": code.id}


def listed(api, query=""):
    answer = api.get(f"/api/v1/losses?{query}")
    assert answer.status_code == 200, answer.get_json()
    return [(item["external_userid"], item["userid"]) for item in answer.get_json()["items"]]


ALL = [("d", "ls"), ("a", "ls"), ("c", "zs"), ("b", "zs"), ("a", "zs")]


def test_losses_are_listed_newest_first_page_by_page(api, story):
    assert listed(api) == ALL
    pages, cursor = [], ""
    while True:
        page = api.get(f"/api/v1/losses?limit=2{cursor}").get_json()
        pages += [(item["external_userid"], item["userid"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert pages == ALL
    for cursor in ("nonsense", f"1.{10**19}", f"{10**25}.1"):
        assert api.get(f"/api/v1/losses?cursor={cursor}").status_code == 422


def test_a_loss_says_everything(api, story):
    [item] = api.get("/api/v1/losses?state=ch1").get_json()["items"]
    assert item["lost_by"] == "customer"
    assert (item["stay_days"], item["stay_seconds"]) == (9, 9 * 86400)
    assert (item["channel_code_id"], item["channel_name"], item["state"]) == (story["code"], "门店", "ch1")
    assert item["returned_at"].startswith("2026-03-02T03:55:00")
    assert item["others"] == 1
    assert item["follow_id"] > 0


def test_losses_are_filtered(api, story):
    for query, wanted in (
        (f"staff_id={story['zs']}", ALL[2:]),
        ("lost_by=staff", [ALL[0], ALL[2], ALL[3]]),
        ("since=2026-03-02T04:01:00Z", ALL[:3]),
        ("until=2026-03-02T04:01:00Z", ALL[3:]),
        (f"channel_code_id={story['code']}", [ALL[4]]),
        ("state=ch1", [ALL[4]]),
        ("returned=true", [ALL[4]]),
        ("returned=false", ALL[:4]),
        ("found=true", [ALL[0]]),
        ("last_relation=false", [ALL[4], ALL[1]]),
    ):
        assert sorted(listed(api, query)) == sorted(wanted), query
    assert api.get("/api/v1/losses?by=staff").status_code == 422
    assert api.get("/api/v1/losses?alarm_id=1").status_code == 404


def test_figures_in_all_and_by_day_member_and_channel(api, story):
    summary = api.get("/api/v1/losses/summary").get_json()
    total = summary["total"]
    assert (total["losses"], total["by_customer"], total["by_staff"], total["found"]) == (5, 2, 3, 1)
    assert (total["returned"], total["return_rate"], total["last_relations"]) == (1, 0.2, 3)
    assert (total["within_24_hours"], total["within_7_days"], total["stay_unknown"]) == (1, 2, 0)
    stays = {"0": 1, "1-6": 1, "7-29": 1, "30-89": 0, "90-364": 1, "365+": 1}
    assert total["stay_days"] == stays
    days = [(group["day"], group["losses"]) for group in summary["groups"]]
    assert days == [("2026-03-01", 1), ("2026-03-02", 4)]
    by_staff = api.get("/api/v1/losses/summary?group_by=staff").get_json()["groups"]
    assert [(group["userid"], group["losses"]) for group in by_staff] == [("zs", 3), ("ls", 2)]
    by_channel = api.get("/api/v1/losses/summary?group_by=channel").get_json()["groups"]
    assert [(g["channel_name"], g["losses"]) for g in by_channel] == [(None, 4), ("门店", 1)]
    nothing = api.get("/api/v1/losses/summary?since=2100-01-01T00:00:00Z").get_json()
    assert (nothing["groups"], nothing["total"]["return_rate"]) == ([], None)


def test_a_day_is_one_of_the_corps_zone(api, story, configure):
    configure(corp={"timezone": "America/New_York"})
    groups = api.get("/api/v1/losses/summary").get_json()["groups"]
    assert [(group["day"], group["losses"]) for group in groups] == [("2026-02-28", 1), ("2026-03-01", 4)]


@pytest.fixture
def alarm(people, configure):
    configure(losses={"alarm_count": 2, "alarm_minutes": 10.0})
    record(deleted(0, "x"), deleted(1, "y"), deleted(-30, "z"), left(1, "w"))
    tell_losses()
    return alarms()[0].id


def test_an_alarm_lists_its_customers_and_is_acknowledged(api, alarm):
    [item] = api.get("/api/v1/loss-alarms").get_json()["items"]
    assert (item["deletions"], item["userid"], item["acknowledged_at"]) == (2, "zs", None)
    assert listed(api, f"alarm_id={alarm}") == [("y", "zs"), ("x", "zs")]
    answer = api.post(f"/api/v1/loss-alarms/{alarm}/acknowledge", json={"note": "ok"})
    assert answer.status_code == 200
    assert answer.get_json()["note"] == "ok"
    assert answer.get_json()["acknowledged_by"].startswith("apikey:")
    assert api.post(f"/api/v1/loss-alarms/{alarm}/acknowledge", json={}).status_code == 409
    assert api.get("/api/v1/loss-alarms?acknowledged=false").get_json()["items"] == []
    assert len(api.get("/api/v1/loss-alarms?acknowledged=true").get_json()["items"]) == 1
    assert api.get("/api/v1/loss-alarms?withdrawn=true").get_json()["items"] == []
    assert (
        api.get(f"/api/v1/loss-alarms?since={at(5).isoformat().replace('+00:00', 'Z')}").get_json()["items"]
        == []
    )
    assert api.get(f"/api/v1/loss-alarms/{alarm}").get_json()["id"] == alarm


def test_a_limited_key_sees_losses_figures_and_alarms_of_its_own_staff(story, api_with, session):
    limited = api_with("losses:read", "losses:write", staff_ids=[story["ls"]])
    assert listed(limited) == ALL[:2]
    assert listed(limited, f"staff_id={story['zs']}") == []
    assert limited.get("/api/v1/losses/summary").get_json()["total"]["losses"] == 2
    groups = limited.get("/api/v1/losses/summary?group_by=staff").get_json()["groups"]
    assert [group["userid"] for group in groups] == ["ls"]
    nobody = api_with("losses:read", staff_ids=[])
    assert listed(nobody) == []


def test_a_limited_key_sees_and_acknowledges_no_alarm_of_others(alarm, people, api_with, session):
    limited = api_with("losses:read", "losses:write", staff_ids=[people["ls"]])
    assert limited.get("/api/v1/loss-alarms").get_json()["items"] == []
    assert limited.get(f"/api/v1/loss-alarms/{alarm}").status_code == 404
    assert limited.get(f"/api/v1/losses?alarm_id={alarm}").status_code == 404
    assert limited.post(f"/api/v1/loss-alarms/{alarm}/acknowledge", json={}).status_code == 404
    assert alarms()[0].acknowledged_at is None


def test_reading_is_not_acknowledging(alarm, api_with, session):
    reader = api_with("losses:read")
    assert reader.post(f"/api/v1/loss-alarms/{alarm}/acknowledge", json={}).status_code == 403
    assert api_with("customers:read").get("/api/v1/losses").status_code == 403
