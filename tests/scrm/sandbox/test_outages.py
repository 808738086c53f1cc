from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from scrm.sandbox.control import SandboxControlError
from scrm.sandbox.testing import offline, running_sandbox

HOUR = 3_600


def code(answer):
    return answer["errcode"]


def test_an_outage_lasts_as_long_as_the_sandboxs_clock_says(wecom, control):
    control.outage("busy", span=HOUR)
    assert code(wecom.get("getcallbackip")) == -1
    assert code(wecom.get("gettoken", corpid="x", corpsecret="y")) == -1
    control.advance_clock(HOUR - 60)
    assert code(wecom.get("getcallbackip")) == -1
    control.advance_clock(60)
    assert code(wecom.get("getcallbackip")) == 0


def test_an_outage_can_break_the_connection_or_be_a_page_of_a_proxy(wecom, control):
    url = f"{wecom.base_url}/cgi-bin/getcallbackip?access_token={wecom.token}"
    control.outage("http", span=HOUR)
    assert requests.get(url, timeout=30).status_code == 502
    control.clear_faults()
    control.outage("cut")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(url, timeout=30)
    control.clear_faults()
    control.outage("hang", api="externalcontact/*", span=HOUR)
    assert code(wecom.get("getcallbackip")) == 0
    with pytest.raises(requests.ReadTimeout):
        requests.get(
            f"{wecom.base_url}/cgi-bin/externalcontact/get_follow_user_list?access_token={wecom.token}",
            timeout=0.2,
        )


def test_a_span_is_for_api_calls_only(control):
    with pytest.raises(SandboxControlError, match="span"):
        control.fault("drop", span=5)


@pytest.mark.fault
def test_offline_refuses_connections_and_comes_back_as_it_was(tmp_path):
    with running_sandbox(state_file=tmp_path / "state") as running:
        control = running.control
        control.population(members=2, customers=4)
        control.set_callback("http://127.0.0.1:9/", verify=False)
        control.set_limits(corp_tags=7)
        control.advance_clock(HOUR)
        before = control.overview()
        with offline(running), pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(f"{running.base_url}/cgi-bin/getcallbackip", timeout=30)
        after = control.overview()
        for name in ("members", "customers", "limits", "apps"):
            assert after[name] == before[name]
        assert 0 <= after["now"] - before["now"] < 60


def test_offline_needs_a_place_to_keep_the_corp(process):
    with pytest.raises(ValueError, match="state_file"), offline(process):
        pass


def test_a_skewed_clock_shows_in_answers_and_callbacks(wecom, control, friend, main_receiver, inbox):
    url = f"{wecom.base_url}/cgi-bin/getcallbackip?access_token={wecom.token}"

    def offset():
        return parsedate_to_datetime(requests.get(url, timeout=30).headers["Date"]).timestamp() - time.time()

    assert abs(offset()) < 2
    control.skew_clock(-400)
    assert abs(offset() + 400) < 2
    control.edit(*friend, remark="x")
    control.wait_callbacks()
    assert abs(int(inbox.events()[0]["CreateTime"]) - time.time() + 400) < 5
    query = parse_qs(urlsplit(main_receiver.paths[-1]).query)
    assert abs(int(query["timestamp"][0]) - time.time() + 400) < 5
    control.skew_clock(0)
    assert abs(offset()) < 2


def test_a_group_can_lag_behind_its_event(wecom, corp, control, inbox):
    control.set_limits(group_lag_seconds=5)
    chat_id = control.create_group("staff0001", [], name="old")["chat_id"]
    assert code(wecom.contact("groupchat/get", chat_id=chat_id)) == 40050
    control.advance_clock(5)
    person = control.state("member", "staff0001")["customers"][0]

    def shown():
        group = wecom.contact("groupchat/get", chat_id=chat_id)["group_chat"]
        return group["name"], len(group["member_list"]), group["member_version"]

    before = shown()
    told = control.join_group(chat_id, [person])["member_version"]
    control.advance_clock(2)
    control.rename_group(chat_id, "new")
    assert shown() == before
    control.advance_clock(3)
    assert shown() == ("old", 2, told)
    control.advance_clock(2)
    assert shown() == ("new", 2, told)


def test_writes_through_the_api_call_back_when_asked_to(wecom, control, friend, inbox):
    userid, external = friend
    who = {"userid": userid, "external_userid": external}
    wecom.contact("remark", **who, remark="a")
    control.callbacks_for_api_writes()
    wecom.contact("remark", **who, remark="b")
    control.callbacks_for_api_writes(False)
    wecom.contact("remark", **who, remark="c")
    control.wait_callbacks()
    assert [event["ChangeType"] for event in inbox.events()] == ["edit_external_contact"]


def test_service_accounts_come_and_go(wecom, corp, control, inbox):
    open_kfid = control.create_kf_account("售后", ["staff0001"])
    control.wait_callbacks()
    names = [item["name"] for item in wecom.post("kf/account/list")["account_list"]]
    assert "售后" in names
    control.delete_kf_account(open_kfid)
    control.wait_callbacks()
    assert len(wecom.post("kf/account/list")["account_list"]) == len(names) - 1
    added, deleted = inbox.events()
    assert (added["AuthAddOpenKfId"], deleted["AuthDelOpenKfId"]) == (open_kfid, open_kfid)


def test_the_control_api_answers_while_everything_hangs(wecom, control):
    control.outage("hang")
    url = f"{wecom.base_url}/cgi-bin/getcallbackip?access_token={wecom.token}"

    def give_up():
        with pytest.raises(requests.RequestException):
            requests.get(url, timeout=0.3)

    waiting = [threading.Thread(target=give_up) for _ in range(70)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    began = time.monotonic()
    control.clear_faults()
    assert time.monotonic() - began < 20
    assert code(wecom.get("getcallbackip")) == 0
