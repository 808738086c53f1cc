from __future__ import annotations

import pytest


def code(answer):
    return answer["errcode"]


@pytest.fixture
def account(corp, inbox):
    return corp["kf_accounts"][0]


@pytest.fixture
def customer(account, control):
    """Somebody who has just written "price?"."""
    return control.chat(content="price?")["external_userid"]


def send(wecom, account, customer, **more):
    body = {"touser": customer, "open_kfid": account, "msgtype": "text", "text": {"content": "hi"}} | more
    return wecom.post("kf/send_msg", **body)


def sync(wecom, account, **more):
    return wecom.post("kf/sync_msg", open_kfid=account, **more)


def trans(wecom, account, customer, state, **more):
    return wecom.post(
        "kf/service_state/trans", open_kfid=account, external_userid=customer, service_state=state, **more
    )


def test_accounts_are_listed_by_get_and_post(wecom, account):
    assert wecom.get("kf/account/list")["account_list"][0]["open_kfid"] == account
    assert wecom.post("kf/account/list", offset=0, limit=100)["account_list"][0]["manage_privilege"] is True
    assert wecom.post("kf/account/list", offset=5)["account_list"] == []


def test_servicers_are_listed_with_their_status(wecom, account, control):
    control.servicer_status("staff0002", serving=False)
    rows = {
        row["userid"]: row["status"]
        for row in wecom.get("kf/servicer/list", open_kfid=account)["servicer_list"]
    }
    assert rows == {"staff0001": 0, "staff0002": 1, "staff0003": 0}


def test_account_ids_are_checked(wecom, account):
    assert code(wecom.get("kf/servicer/list")) == 60251
    assert code(sync(wecom, "wkunknown")) == 95004
    assert code(sync(wecom, "rubbish")) == 95000


def test_a_message_calls_back_with_a_token_and_no_sender(wecom, account, customer, control, inbox):
    assert control.wait_callbacks()
    (event,) = inbox.events()
    assert (event["Event"], event["OpenKfId"]) == ("kf_msg_or_event", account)
    assert "FromUserName" not in event
    found = sync(wecom, account, token=event["Token"])
    (message,) = found["msg_list"]
    assert (message["origin"], message["text"], message["external_userid"]) == (
        3,
        {"content": "price?"},
        customer,
    )
    assert found["has_more"] == 0


def test_the_log_is_read_in_pages_with_a_cursor(wecom, account, control, customer):
    control.chat(customer, "more", count=4)
    first = sync(wecom, account, limit=3)
    assert (len(first["msg_list"]), first["has_more"]) == (3, 1)
    rest = sync(wecom, account, limit=3, cursor=first["next_cursor"])
    assert (len(rest["msg_list"]), rest["has_more"]) == (2, 0)
    nothing = sync(wecom, account, cursor=rest["next_cursor"])
    assert (nothing["msg_list"], nothing["next_cursor"]) == ([], rest["next_cursor"])
    assert code(sync(wecom, account, cursor="zz")) == 50100


def test_the_log_forgets_after_three_days(wecom, account, control, customer):
    control.advance_clock(3 * 86_400 + 1)
    wecom.login()
    control.chat(customer, "new")
    assert [item["text"]["content"] for item in sync(wecom, account)["msg_list"]] == ["new"]


def test_tokens_die_after_ten_minutes_and_reading_without_one_is_rationed(
    wecom, account, customer, control, inbox
):
    control.wait_callbacks()
    token = inbox.events()[0]["Token"]
    assert code(sync(wecom, account, token="nonsense")) == 95007
    assert [code(sync(wecom, account)) for _ in range(11)] == [0] * 10 + [45009]
    assert code(sync(wecom, account, token=token)) == 0
    control.advance_clock(601)
    assert code(sync(wecom, account, token=token)) == 95007


def test_five_messages_for_each_message_of_the_customer(wecom, account, customer, control):
    assert [code(send(wecom, account, customer)) for _ in range(6)] == [0] * 5 + [95001]
    control.chat(customer, "again")
    assert code(send(wecom, account, customer)) == 0
    assert len(control.state("kf_session", f"{account}/{customer}")["sent"]) == 6
    assert all(item["origin"] == 3 for item in sync(wecom, account)["msg_list"])


def test_forty_eight_hours_after_the_last_message_it_is_over(wecom, account, customer, control, friend):
    control.advance_clock(172_801)
    wecom.login()
    assert code(send(wecom, account, customer)) == 95002
    assert code(send(wecom, account, friend[1])) == 95002


def test_message_ids_are_unique_and_echoed(wecom, account, customer):
    assert send(wecom, account, customer, msgid="abc-1")["msgid"] == "abc-1"
    assert code(send(wecom, account, customer, msgid="abc-1")) == 40058
    assert code(send(wecom, account, customer, msgid="no spaces")) == 40058


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"msgtype": "poem"}, 40008),
        ({"text": {"content": ""}}, 44004),
        ({"text": None}, 40058),
        ({"text": {"content": "x" * 2049}}, 45002),
        ({"touser": "wmno"}, 40096),
        ({"touser": None}, 41035),
        ({"open_kfid": None}, 60251),
        ({"msgtype": "image", "image": {"media_id": "no"}}, 40007),
        ({"msgtype": "location", "location": {"latitude": "x"}}, 95022),
        (
            {"msgtype": "msgmenu", "msgmenu": {"list": [{"type": "click", "click": {"content": "a"}}] * 11}},
            95008,
        ),
        ({"msgtype": "msgmenu", "msgmenu": {"list": [{"type": "bad"}]}}, 95009),
        ({"msgtype": "msgmenu", "msgmenu": {"head_content": "x" * 1025}}, 40058),
        (
            {
                "msgtype": "msgmenu",
                "msgmenu": {"list": [{"type": "click", "click": {"id": "1", "content": "a"}}]},
            },
            0,
        ),
        ({"msgtype": "link", "link": {"title": "t", "url": "u"}}, 40007),
    ],
)
def test_send_msg_checks_its_input(wecom, account, customer, more, expected):
    assert code(send(wecom, account, customer, **more)) == expected


def test_sessions_move_as_the_flow_chart_allows(wecom, account, customer, control):
    who = {"open_kfid": account, "external_userid": customer}
    assert wecom.post("kf/service_state/get", **who)["service_state"] == 0
    assert code(trans(wecom, account, customer, 1)) == 0
    assert code(send(wecom, account, customer)) == 0
    assert code(trans(wecom, account, customer, 4)) == 95016
    assert trans(wecom, account, customer, 2)["msg_code"]
    assert code(send(wecom, account, customer)) == 95018
    assert trans(wecom, account, customer, 3, servicer_userid="staff0001")["msg_code"]
    assert wecom.post("kf/service_state/get", **who)["servicer_userid"] == "staff0001"
    assert "msg_code" not in trans(wecom, account, customer, 3, servicer_userid="staff0002")
    assert trans(wecom, account, customer, 4)["msg_code"]
    assert code(trans(wecom, account, customer, 1)) == 95016
    control.chat(customer, "back")
    assert wecom.post("kf/service_state/get", **who)["service_state"] == 0


def test_ending_from_any_state_can_be_allowed(wecom, account, customer, control):
    control.set_limits(kf_end_from_any_state=True)
    assert code(trans(wecom, account, customer, 4)) == 0


def test_servicers_must_serve(wecom, account, customer, control):
    assert code(trans(wecom, account, customer, 3)) == 40063
    assert code(trans(wecom, account, customer, 3, servicer_userid="staff0005")) == 95014
    control.servicer_status("staff0001", serving=False)
    assert code(trans(wecom, account, customer, 3, servicer_userid="staff0001")) == 95019
    assert code(trans(wecom, account, customer, 9)) == 40058


def test_a_welcome_on_entering_is_valid_twenty_seconds_and_once(wecom, account, control):
    entered = control.kf_enter(name="Ann", scene="s1", scene_param="p")
    on_event = {"code": entered["welcome_code"], "msgtype": "text", "text": {"content": "hello"}}
    item = sync(wecom, account)["msg_list"][0]
    assert (item["origin"], item["msgtype"], item["event"]["scene"]) == (4, "event", "s1")
    assert "external_userid" not in item
    assert code(wecom.post("kf/send_msg_on_event", **on_event)) == 0
    assert code(wecom.post("kf/send_msg_on_event", **on_event)) == 40058
    assert control.kf_enter(entered["external_userid"])["welcome_code"] is None
    late = control.kf_enter(name="Bob")
    control.advance_clock(21)
    assert code(wecom.post("kf/send_msg_on_event", **(on_event | {"code": late["welcome_code"]}))) == 95013
    assert code(wecom.post("kf/send_msg_on_event", **(on_event | {"code": "none"}))) == 40058


def test_the_code_of_a_state_dies_with_the_state_and_takes_only_text(wecom, account, customer):
    queued = trans(wecom, account, customer, 2)["msg_code"]
    menu = {"code": queued, "msgtype": "msgmenu", "msgmenu": {"head_content": "x"}}
    assert code(wecom.post("kf/send_msg_on_event", **menu)) == 40008
    trans(wecom, account, customer, 3, servicer_userid="staff0001")
    text = {"code": queued, "msgtype": "text", "text": {"content": "x"}}
    assert code(wecom.post("kf/send_msg_on_event", **text)) == 95018


def test_servicers_working_in_the_client_show_in_the_log(wecom, account, customer, control):
    trans(wecom, account, customer, 2)
    control.servicer_take("staff0001", customer)
    control.servicer_reply("staff0001", customer, content="on it")
    control.servicer_take("staff0002", customer)
    control.servicer_end(customer)
    control.servicer_reply("staff0002", customer, content="one more thing")
    items = sync(wecom, account)["msg_list"][1:]
    changes = [item["event"]["change_type"] for item in items if item["msgtype"] == "event"]
    assert changes == [1, 2, 3, 4]
    assert [item["servicer_userid"] for item in items if item["origin"] == 5] == ["staff0001", "staff0002"]
    first = items[0]["event"]
    assert (first["new_servicer_userid"], "old_servicer_userid" in first) == ("staff0001", False)
    assert first["msg_code"]


def test_pictures_from_customers_can_be_downloaded(wecom, account, control):
    control.chat(msgtype="image")
    media_id = sync(wecom, account)["msg_list"][0]["image"]["media_id"]
    url = f"{wecom.base_url}/cgi-bin/media/get"
    query = {"access_token": wecom.token, "media_id": media_id}
    assert wecom.session.get(url, params=query, timeout=30).content.startswith(b"\x89PNG")


def test_batchget_names_customers(wecom, account, customer):
    answer = wecom.post("kf/customer/batchget", external_userid_list=[customer, "wmno"])
    assert answer["customer_list"][0]["external_userid"] == customer
    assert answer["invalid_external_userid"] == ["wmno"]
    assert code(wecom.post("kf/customer/batchget")) == 40063
    assert code(wecom.post("kf/customer/batchget", external_userid_list=["x"] * 101)) == 40032


def test_a_kf_customer_is_no_contact(wecom, customer):
    assert code(wecom.get("externalcontact/get", external_userid=customer)) == 84061


def test_an_account_can_be_granted_to_some_apps_only(wecom, account, control, inbox, as_app, second_inbox):
    second = as_app("second")
    control.kf_grant(["second"])
    assert control.wait_callbacks()
    assert inbox.events()[0]["AuthDelOpenKfId"] == account
    assert second_inbox.events() == []
    assert code(sync(wecom, account)) == 48007
    assert wecom.post("kf/account/list")["account_list"] == []
    assert code(sync(second, account)) == 0
    control.kf_grant(None)
    assert control.wait_callbacks()
    assert inbox.events()[1]["AuthAddOpenKfId"] == account
