from __future__ import annotations

import threading
import time

import pytest
import requests


def code(answer):
    return answer["errcode"]


@pytest.fixture
def url(wecom):
    return f"{wecom.base_url}/cgi-bin/getcallbackip?access_token={wecom.token}"


def test_an_injected_errcode_comes_as_often_as_asked_and_has_no_effect(wecom, control, friend):
    userid, external = friend
    who = {"userid": userid, "external_userid": external}
    control.fault("errcode", api="externalcontact/*", errcode=45033, times=2)
    codes = [code(wecom.contact("remark", **who, remark=str(number))) for number in range(3)]
    assert codes == [45033, 45033, 0]
    assert control.state("customer", external)["follows"][0]["remark"] == "2"
    assert control.log_counts()["externalcontact/remark"] == {"0": 1, "45033": 2}


def test_a_fault_can_be_for_one_app_or_by_chance(wecom, control, as_app):
    control.fault("errcode", api="getcallbackip", app="second", times=None)
    assert code(as_app("second").get("getcallbackip")) == -1
    assert code(wecom.get("getcallbackip")) == 0
    control.clear_faults()
    control.fault("errcode", api="getcallbackip", probability=0.5, times=None, seed=1)
    codes = [code(wecom.get("getcallbackip")) for _ in range(40)]
    assert 5 < codes.count(0) < 35


def test_latency_makes_the_answer_late(wecom, control):
    control.fault("latency", api="getcallbackip", seconds=0.2)
    began = time.monotonic()
    assert code(wecom.get("getcallbackip")) == 0
    assert time.monotonic() - began >= 0.2


def test_a_truncated_answer_is_no_json(wecom, control, url):
    control.fault("truncate", api="getcallbackip")
    answer = requests.get(url, timeout=30)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_an_html_page_comes_in_place_of_the_answer(wecom, control, url):
    control.fault("html", api="getcallbackip")
    answer = requests.get(url, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")


def test_a_disconnect_breaks_the_answer_without_an_effect(wecom, control, friend):
    userid, external = friend
    control.fault("disconnect", api="externalcontact/remark")
    with pytest.raises(requests.RequestException):
        wecom.contact("remark", userid=userid, external_userid=external, remark="lost")
    assert control.state("customer", external)["follows"][0]["remark"] != "lost"


def test_a_hang_outlasts_the_client_and_is_let_go_when_faults_are_cleared(control, url):
    control.fault("hang", api="getcallbackip", seconds=20)
    with pytest.raises(requests.Timeout):
        requests.get(url, timeout=0.2)
    control.fault("hang", api="getcallbackip", seconds=200)
    ended = []

    def call():
        try:
            requests.get(url, timeout=200)
        except requests.RequestException:
            ended.append(time.monotonic())

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    control.clear_faults()
    thread.join(60)
    assert ended


def test_a_timeout_after_success_has_its_effect_and_is_logged_as_accepted(wecom, control, friend):
    userid, external = friend
    control.fault("timeout_after_success", api="externalcontact/remark", seconds=20)
    url = f"{wecom.base_url}/cgi-bin/externalcontact/remark?access_token={wecom.token}"
    with pytest.raises(requests.Timeout):
        requests.post(
            url, json={"userid": userid, "external_userid": external, "remark": "kept"}, timeout=0.3
        )
    assert control.state("customer", external)["follows"][0]["remark"] == "kept"
    (entry,) = control.log(api="externalcontact/remark")
    assert (entry["fault"], entry["accepted"]) == ("timeout_after_success", True)
    control.clear_faults()


def test_faults_in_force_are_listed_and_cleared(control):
    control.fault("errcode", api="media/*", errcode=45009, times=5)
    listed = control.fault("drop", times=None)
    assert (listed["api"][0]["api"], listed["api"][0]["times"]) == ("media/*", 5)
    assert listed["callbacks"][0]["kind"] == "drop"
    assert control.clear_faults() == {"api": [], "callbacks": []}
