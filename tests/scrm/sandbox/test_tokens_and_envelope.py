from __future__ import annotations

import threading

import requests

from scrm.sandbox.defaults import DEFAULT_CORP_ID


def code(answer):
    return answer["errcode"]


def test_gettoken_repeats_the_token_until_it_is_near_expiry(wecom, control):
    first = wecom.token
    assert wecom.login() == first
    control.advance_clock(7200 - 299)
    assert wecom.login() != first


def test_a_new_token_lives_7200_seconds_and_a_repeat_says_what_is_left(wecom, control):
    control.advance_clock(600)
    answer = wecom.get("gettoken", corpid=DEFAULT_CORP_ID, corpsecret=wecom.secret)
    assert answer["errmsg"] == "ok"
    assert 6590 <= answer["expires_in"] <= 6600


def test_gettoken_refuses_missing_and_wrong_credentials(wecom):
    assert code(wecom.get("gettoken", corpsecret="x")) == 41002
    assert code(wecom.get("gettoken", corpid=DEFAULT_CORP_ID)) == 41004
    assert code(wecom.get("gettoken", corpid="wwother", corpsecret="x")) == 40013
    assert code(wecom.get("gettoken", corpid=DEFAULT_CORP_ID, corpsecret="x")) == 40001


def test_repeated_wrong_secrets_ban_the_address_for_an_hour(wecom, control):
    control.set_limits(bad_secret_bans_after=3)
    for _ in range(4):
        assert code(wecom.get("gettoken", corpid=DEFAULT_CORP_ID, corpsecret="x")) == 40001
    good = {"corpid": DEFAULT_CORP_ID, "corpsecret": wecom.secret}
    assert code(wecom.get("gettoken", **good)) == 45009
    control.advance_clock(3601)
    assert code(wecom.get("gettoken", **good)) == 0


def test_tokens_missing_garbage_and_expired_have_their_codes(wecom, control):
    assert code(wecom.get("getcallbackip", access_token="")) == 41001
    assert code(wecom.get("getcallbackip", access_token="garbage")) == 40014
    assert wecom.get("getcallbackip")["ip_list"] == ["127.0.0.1"]
    control.advance_clock(7201)
    assert code(wecom.get("getcallbackip")) == 42001


def test_tokens_can_be_invalidated_early(wecom, control):
    assert control.expire_tokens("main") == ["main"]
    assert code(wecom.get("getcallbackip")) == 42001
    wecom.login()
    assert code(wecom.get("getcallbackip")) == 0


def test_errors_are_http_200_with_a_hint_tail(wecom):
    answer = wecom.session.get(f"{wecom.base_url}/cgi-bin/getcallbackip", timeout=30)
    assert answer.status_code == 200
    assert "hint: [" in answer.json()["errmsg"]
    assert "from ip: 127.0.0.1, more info at" in answer.json()["errmsg"]


def test_json_is_read_whatever_the_content_type(wecom, friend):
    userid, external = friend
    url = f"{wecom.base_url}/cgi-bin/externalcontact/remark?access_token={wecom.token}"
    body = f'{{"userid":"{userid}","external_userid":"{external}","remark":"x"}}'
    answer = requests.post(url, data=body, headers={"Content-Type": "text/plain"}, timeout=30)
    assert code(answer.json()) == 0


def test_broken_json_counts_as_missing_fields_and_says_so(wecom):
    url = f"{wecom.base_url}/cgi-bin/externalcontact/add_contact_way?access_token={wecom.token}"
    answer = requests.post(url, data="{not json", timeout=30).json()
    assert code(answer) == 41037
    assert "Warning: wrong json format." in answer["errmsg"]


def test_wrong_methods_are_refused(wecom):
    assert code(wecom.get("externalcontact/mark_tag")) == 40058
    assert code(wecom.post("externalcontact/list")) == 40063


def test_an_unknown_api_is_a_404(wecom):
    answer = wecom.session.get(f"{wecom.base_url}/cgi-bin/no/such", timeout=30)
    assert (answer.status_code, answer.json()["errcode"]) == (404, 404)


def test_an_app_without_the_feature_gets_48002(as_app):
    assert code(as_app("bare").get("externalcontact/get_follow_user_list")) == 48002


def test_a_caller_outside_the_trusted_addresses_gets_60020(as_app):
    assert code(as_app("foreign").get("getcallbackip")) == 60020


def test_too_many_calls_in_a_minute_block_the_api_for_a_minute(wecom, control):
    control.set_limits(per_api_minute={"getcallbackip": 3})
    codes = [code(wecom.get("getcallbackip")) for _ in range(5)]
    assert codes == [0, 0, 0, 45009, 45009]
    assert code(wecom.get("get_api_domain_ip")) == 0
    control.advance_clock(61)
    assert code(wecom.get("getcallbackip")) == 0


def test_rate_limits_can_be_switched_off(wecom, control):
    control.set_limits(per_api_minute={"getcallbackip": 1}, rate_limits_on=False)
    assert [code(wecom.get("getcallbackip")) for _ in range(3)] == [0, 0, 0]


def test_too_many_calls_at_once_get_45033(wecom, control):
    control.set_limits(per_api_concurrency={"getcallbackip": 1})
    control.fault("latency", api="getcallbackip", seconds=0.3, times=None)
    codes = []
    url = f"{wecom.base_url}/cgi-bin/getcallbackip?access_token={wecom.token}"

    def call():
        codes.append(code(requests.get(url, timeout=30).json()))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [0, 45033, 45033]
