"""What is read from WeCom: links made elsewhere, figures by day, the quota with its levels and forecast."""

from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import select, text

from scrm.acquisition_links import jobs
from scrm.acquisition_links.models import AcquisitionLink, LinkDay, QuotaReading, ReadingKind
from scrm.acquisition_links.service.quota import note_quota
from scrm.acquisition_links.service.readings import is_wanted
from scrm.acquisition_links.service.recording import LinkCallback, LinkFact, record_link_events
from scrm.kernel.clock import in_zone, shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.settings import settings as current
from scrm.wecom.client import wecom
from tests.scrm.acquisition_links.conftest import URL, carry_out

FOLDER = "externalcontact/customer_acquisition"


def create(company, name="控制台", users=None):
    body = {"link_name": name, "range": {"user_list": users or company.userids[:1], "department_list": []}}
    return wecom().post(f"{FOLDER}/create_link", body)["link"]["link_id"]


def test_links_made_elsewhere_are_adopted_without_a_call(company, api):
    link_id = create(company)
    jobs.pull_links()
    carry_out()
    (link,) = api.get(URL).json["items"]
    assert (link["link_id"], link["name"], link["adopted"], link["status"]) == (
        link_id,
        "控制台",
        True,
        "active",
    )
    assert link["staff_ids"] == company.staff[:1]
    assert company.calls() == {"create_link": 1}
    jobs.pull_links()
    changed = company.change(link["id"], name="我们的")
    assert (company.truth(link)["name"], changed["error"]) == ("我们的", None)


def test_an_edit_in_the_console_is_taken_over_unless_we_want_something_else(company, api, sandbox):
    link = company.link()
    body = {"link_id": link["link_id"], "link_name": "他们的", "skip_verify": False}
    wecom().post(f"{FOLDER}/update_link", body)
    jobs.pull_links()
    carry_out()
    shown = company.show(link["id"])
    assert (shown["name"], shown["skip_verify"]) == ("他们的", False)
    assert company.calls()["update_link"] == 1  # theirs
    sandbox.fault("errcode", api=f"{FOLDER}/update_link", errcode=40058, times=1)
    company.change(link["id"], name="我们的")
    wecom().post(f"{FOLDER}/update_link", {**body, "link_name": "又改"})
    jobs.pull_links()
    assert company.show(link["id"])["name"] == "我们的"
    assert company.change(link["id"])["error"] is None
    assert company.truth(link)["name"] == "我们的"


def test_links_that_a_complete_list_does_not_name_are_gone(company, api, sandbox):
    link, other = company.link(), company.link(name="留下")
    sandbox.delete_link(link["link_id"])
    sandbox.fault("errcode", api=f"{FOLDER}/list_link", errcode=-1, times=1)
    jobs.pull_links()
    assert len(api.get(URL).json["items"]) == 2  # nothing is concluded from a failure
    assert api.get(f"{URL}/readings").json["links"]["error"][:2] == "-1"
    jobs.pull_links()
    assert [row["id"] for row in api.get(URL).json["items"]] == [other["id"]]
    assert api.get(f"{URL}/readings").json["links"]["error"] is None


def test_one_link_that_cannot_be_read_is_not_gone(company, api, sandbox):
    company.link()
    sandbox.fault("errcode", api=f"{FOLDER}/get", errcode=40058, times=1)
    jobs.pull_links()
    assert len(api.get(URL).json["items"]) == 1


def test_the_systems_secret_is_named_as_the_reason(company, api, sandbox):
    sandbox.fault("errcode", api=f"{FOLDER}/list_link", errcode=48002, times=1)
    jobs.pull_links()
    assert "系统 secret" in api.get(f"{URL}/readings").json["links"]["error"]


def test_links_are_read_when_somebody_asks_or_one_is_named_that_we_do_not_know(company, api):
    link_id = create(company)
    assert not is_wanted(ReadingKind.LINKS)
    with transaction():
        record_link_events([LinkCallback(LinkFact.FRIEND_REQUEST, utcnow(), "main", link_id, "ad")])
    assert is_wanted(ReadingKind.LINKS)
    jobs.read_wanted()
    assert not is_wanted(ReadingKind.LINKS)
    assert api.get(URL).json["items"][0]["link_id"] == link_id
    assert api.post(f"{URL}/read").status_code == 202
    assert is_wanted(ReadingKind.LINKS)
    assert is_wanted(ReadingKind.QUOTA)
    jobs.read_wanted()
    assert not is_wanted(ReadingKind.QUOTA)


def test_figures_are_read_by_day_and_again_until_the_day_is_over(company, api, committed, sandbox):
    link = company.link()
    channel = company.channel(link)
    company.visit(channel["url"], profile=True)
    company.visit(channel["url"], request=False)
    today = in_zone(utcnow(), current().corp.zone).date()
    jobs.read_statistics()
    day = committed.scalars(select(LinkDay)).one()
    assert (day.day, day.clicks, day.new_customers) == (today, 2, 1)
    company.visit(channel["url"])
    jobs.read_statistics()
    committed.expire_all()
    assert committed.scalars(select(LinkDay)).one().clicks == 3
    calls = sum(sandbox.log_counts()[f"{FOLDER}/statistic"].values())
    noon = datetime.combine(
        today + timedelta(days=2), time(12), current().corp.zone
    )  # hours after the day before
    with shifted(noon - utcnow()):
        jobs.read_statistics()
        jobs.read_statistics()
    counts = sum(sandbox.log_counts()[f"{FOLDER}/statistic"].values())
    assert counts - calls == 3 + 1  # three days, of which only the last is asked about again


def test_the_funnel_by_link_channel_and_day(company, api, sandbox):
    link = company.link(staff_ids=company.staff)
    first, second = company.channel(link, name="抖音"), company.channel(link, name="快手")
    bought = [company.visit(first["url"], profile=True) for _ in range(3)]
    company.visit(second["url"])
    company.visit(first["url"], profile=True, request=False)
    facts = [(LinkFact.OPEN_PROFILE, first)] * 4 + [(LinkFact.FRIEND_REQUEST, first)] * 3 + [
        (LinkFact.FRIEND_REQUEST, second)
    ]  # fmt: skip
    now = utcnow()
    with transaction():
        record_link_events(
            [
                LinkCallback(fact, now - timedelta(seconds=n), "main", link["link_id"], channel["state"])
                for n, (fact, channel) in enumerate(facts)
            ]
        )
        one = bought[0]
        record_link_events(
            [LinkCallback(LinkFact.CUSTOMER_START_CHAT, now, "main", userid=one["userid"],
                          external_userid=one["external_userid"])]
        )  # fmt: skip
    sandbox.write_after_link(bought[1]["userid"], bought[1]["external_userid"])
    jobs.read_customers()
    jobs.read_statistics()
    shown = api.get(f"{URL}/{link['id']}/statistics").json
    assert shown["total"] == {
        "clicks": 5, "new_customers": 4, "opened": 4, "requested": 4, "added": 4, "chatted": 2, "lost": 0,
    }  # fmt: skip
    assert shown["rates"] == {"added_of_clicks": 0.8, "added_of_requests": 1.0, "chatted_of_added": 0.5}
    by_channel = {row["name"]: row for row in shown["channels"]}
    assert (by_channel["抖音"]["added"], by_channel["抖音"]["opened"], by_channel["快手"]["added"]) == (
        3,
        4,
        1,
    )
    assert by_channel[None]["clicks"] == 5  # WeCom counts clicks of the whole link
    assert sum(row["added"] for row in shown["days"]) == 4
    (row,) = api.get(f"{URL}/overview").json["items"]
    assert (row["acquisition_link_id"], row["added"], row["rates"]["chatted_of_added"]) == (
        link["id"],
        4,
        0.5,
    )


@pytest.mark.parametrize("query", ["since=2026-03-02&until=2026-03-01", "since=2024-01-01&until=2026-01-01"])
def test_a_wrong_period_is_refused(company, api, query):
    assert api.get(f"{URL}/overview?{query}").status_code == 422


def alerts(session):
    session.rollback()
    return (
        session.execute(text("SELECT key FROM alerts WHERE kind = 'link_quota' ORDER BY id")).scalars().all()
    )


def test_the_quota_is_read_when_an_event_says_so_and_each_crossing_told_once(
    company, api, committed, sandbox
):
    jobs.read_quota()
    shown = api.get(f"{URL}/quota").json
    assert (shown["total"], shown["balance"], shown["level"]) == (1000, 1000, "ok")
    assert [batch["balance"] for batch in shown["batches"]] == [1000]
    for left, level, told in ((15, "low", 1), (12, "low", 1), (0, "exhausted", 2)):
        sandbox.leave_link_quota(left)
        fact = LinkFact.BALANCE_LOW if left else LinkFact.BALANCE_EXHAUSTED
        with transaction():
            record_link_events([LinkCallback(fact, utcnow(), "main")])
        assert is_wanted(ReadingKind.QUOTA)
        jobs.read_wanted()
        assert api.get(f"{URL}/quota").json["level"] == level
        assert len(alerts(committed)) == told
    sandbox.buy_link_quota(50)
    jobs.read_quota()
    assert api.get(f"{URL}/quota").json["level"] == "ok"
    sandbox.leave_link_quota(10)
    jobs.read_quota()
    jobs.read_quota()
    assert len(alerts(committed)) == 3  # low once more


def test_a_corp_that_never_bought_any_is_not_told_that_it_has_none(committed):
    with transaction():
        note_quota({"total": 0, "balance": 0, "quota_list": []}, utcnow())
    assert alerts(committed) == []


def test_a_failed_reading_keeps_what_was_known_and_says_why(company, api, sandbox):
    jobs.read_quota()
    sandbox.fault("errcode", api="externalcontact/customer_acquisition_quota", errcode=48002, times=1)
    jobs.read_quota()
    shown = api.get(f"{URL}/quota").json
    assert (shown["balance"], shown["error"][:5]) == (1000, "48002")


def test_the_forecast_counts_use_and_not_what_expired(committed, api):
    now = utcnow()
    soon = int((now - timedelta(days=2)).timestamp())
    later = int((now + timedelta(days=300)).timestamp())
    readings = [  # days ago, balance, of which expires soon
        (20, 500, 0), (10, 400, 100), (5, 350, 100), (1, 200, 0), (0, 190, 0),
    ]  # fmt: skip
    for days, balance, ending in readings:
        batches = [{"expire_date": later, "balance": balance - ending}]
        batches += [{"expire_date": soon, "balance": ending}] if ending else []
        at = now - timedelta(days=days)
        committed.add(
            QuotaReading(at=at, confirmed_at=at, total=500, balance=balance, batches=batches, level="ok")
        )
    committed.commit()
    shown = api.get(f"{URL}/quota").json
    # 100 (20 to 10 days ago) + 50 + 50 (100 of the 150 expired) + 10 = 210 adds in the last 14 days
    assert shown["used_per_day"] == pytest.approx(15.0, abs=0.1)
    assert shown["days_left"] == pytest.approx(12.7, abs=0.1)
    assert datetime.fromisoformat(shown["lasts_until"]).replace(tzinfo=UTC) > now + timedelta(days=11)


def test_nothing_is_forecast_from_next_to_nothing(committed, api):
    assert api.get(f"{URL}/quota").json == {"read_at": None, "error": None, "batches": []}
    with transaction():
        note_quota({"total": 100, "balance": 90, "quota_list": []}, utcnow())
    shown = api.get(f"{URL}/quota").json
    assert (shown["used_per_day"], shown["days_left"], shown["lasts_until"]) == (None, None, None)
    assert committed.scalars(select(AcquisitionLink)).all() == []
