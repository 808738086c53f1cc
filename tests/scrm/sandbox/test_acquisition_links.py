from __future__ import annotations

import pytest

from scrm.sandbox.control import SandboxControlError

DAY = 86_400


def code(answer):
    return answer["errcode"]


@pytest.fixture
def link(wecom, corp):
    """create_link with defaults; the answer's `link`."""

    def make(**more):
        body = {"link_name": "spring", "range": {"user_list": ["staff0001"]}} | more
        answer = wecom.contact("customer_acquisition/create_link", **body)
        assert code(answer) == 0, answer
        return answer["link"]

    return make


@pytest.fixture
def ask(wecom):
    def call(name, **body):
        return wecom.contact(f"customer_acquisition/{name}", **body)

    return call


def kinds(inbox):
    return [(event["Event"], event["ChangeType"]) for event in inbox.events()]


def test_a_link_is_made_read_changed_and_deleted(link, ask, corp):
    made = link(
        skip_verify=False, priority_option={"priority_type": 2, "priority_userid_list": ["staff0001"]}
    )
    assert made["link_id"].startswith("ca")
    assert made["url"].startswith("https://")
    found = ask("get", link_id=made["link_id"])
    assert (found["link"]["link_name"], found["link"]["skip_verify"]) == ("spring", False)
    assert found["range"] == {"user_list": ["staff0001"], "department_list": []}
    assert found["priority_option"]["priority_userid_list"] == ["staff0001"]
    change = {"link_id": made["link_id"], "range": {"department_list": [corp["departments"][0]]}}
    assert code(ask("update_link", **change, link_name="summer", priority_option=None)) == 0
    found = ask("get", link_id=made["link_id"])
    assert (found["link"]["link_name"], found["link"]["skip_verify"]) == ("summer", False)
    assert found["range"] == {"user_list": [], "department_list": [corp["departments"][0]]}
    assert ask("list_link")["link_id_list"] == [made["link_id"]]
    assert code(ask("delete_link", link_id=made["link_id"])) == 0
    assert code(ask("get", link_id=made["link_id"])) == 40058
    assert ask("list_link")["link_id_list"] == []


def test_fields_and_limits_are_checked(ask, corp, control, as_app):
    good = {"link_name": "n", "range": {"user_list": ["staff0001"]}}
    assert code(ask("create_link", range=good["range"])) == 40063
    assert code(ask("create_link", link_name="n")) == 40063
    assert code(ask("create_link", link_name="n", range={"user_list": ["nobody"]})) == 40003
    assert code(ask("create_link", link_name="n", range={"department_list": [99]})) == 60003
    outside = {"priority_type": 2, "priority_userid_list": ["staff0002"]}
    assert code(ask("create_link", **good, priority_option=outside)) == 40058
    control.set_limits(acquisition_links=1)
    assert code(ask("create_link", **good)) == 0
    assert code(ask("create_link", **good)) == 41095
    assert code(as_app("system").contact("customer_acquisition/list_link")) == 48002
    assert code(as_app("system").get("externalcontact/customer_acquisition_quota")) == 48002
    control.staff_behaviour(["staff0001"], contact_feature=False)
    assert code(ask("create_link", **good)) == 84074


def test_links_come_in_pages(link, ask):
    made = [link()["link_id"] for _ in range(3)]
    first = ask("list_link", limit=2)
    assert (first["link_id_list"], ask("list_link", cursor=first["next_cursor"])["link_id_list"]) == (
        made[:2],
        made[2:],
    )
    assert code(ask("list_link", cursor="zz")) == 50100


def test_a_visitor_asks_and_is_added_with_the_channel_as_state(link, ask, control, inbox, wecom):
    made = link()
    person = control.visit_link(url=f"{made['url']}?customer_channel=ad_1", profile=True)[0]
    assert (person["requested"], person["added"]) == (True, True)
    control.wait_callbacks()
    assert sorted(kinds(inbox)) == [
        ("change_external_contact", "add_external_contact"),
        ("customer_acquisition", "friend_request"),
        ("customer_acquisition", "open_profile"),
    ]
    for event in inbox.events():
        assert event["State"] == "ad_1"
        if event["Event"] == "customer_acquisition":
            assert event["LinkId"] == made["link_id"]
        else:
            assert event["WelcomeCode"] == person["welcome_codes"]["main"]
    follow = wecom.get("externalcontact/get", external_userid=person["external_userid"])["follow_user"][0]
    assert (follow["add_way"], follow["state"]) == (16, "ad_1")
    assert ask("customer", link_id=made["link_id"])["customer_list"] == [
        {
            "external_userid": person["external_userid"],
            "userid": "staff0001",
            "chat_status": 0,
            "state": "ad_1",
        }
    ]


def test_a_channel_is_cut_at_64_bytes(link, control):
    made = link()
    person = control.visit_link(made["link_id"], customer_channel="字" * 30)[0]
    (follow,) = control.state("customer", person["external_userid"])["follows"]
    assert follow["state"] == "字" * 21


def test_without_skip_verify_the_member_approves(link, control, inbox):
    made = link(skip_verify=False)
    person = control.visit_link(made["link_id"])[0]
    control.wait_callbacks()
    assert (person["requested"], person["added"], kinds(inbox)) == (True, False, [])
    control.accept_link_request(made["link_id"], person["external_userid"])
    control.wait_callbacks()
    assert kinds(inbox) == [("change_external_contact", "add_external_contact")]
    with pytest.raises(SandboxControlError, match="409"):
        control.accept_link_request(made["link_id"], person["external_userid"])


def test_clicks_and_adds_are_counted(link, ask, control):
    made, now = link(), int(control.overview()["now"])
    control.visit_link(made["link_id"], request=False)
    people = control.visit_link(made["link_id"], count=2)
    again = control.visit_link(made["link_id"], external_userid=people[0]["external_userid"])[0]
    assert (again["already"], again["added"]) == (True, False)
    span = {"link_id": made["link_id"], "start_time": now - 60, "end_time": now + 60}
    found = ask("statistic", **span)
    assert (found["click_link_customer_cnt"], found["new_customer_cnt"]) == (3, 2)
    early = ask("statistic", **span | {"start_time": now - 120, "end_time": now - 60})
    assert (early["click_link_customer_cnt"], early["new_customer_cnt"]) == (0, 0)
    assert code(ask("statistic", **span | {"start_time": now - 31 * DAY})) == 40058
    assert code(ask("statistic", link_id=made["link_id"])) == 40058


def test_messages_are_told_by_chat_key(link, ask, control, inbox, wecom):
    made = link()
    person = control.visit_link(made["link_id"], customer_channel="ad_1")[0]
    who = {"userid": "staff0001", "external_userid": person["external_userid"]}
    control.wait_callbacks()
    inbox.clear()
    keys = control.write_after_link(**who, count=10)["chat_keys"]
    control.wait_callbacks()
    told = inbox.events()
    assert sorted(event["ChangeType"] for event in told) == [
        "customer_start_chat",
        *["message_from_customer"] * 3,
    ]
    for event in told:
        if event["ChangeType"] == "message_from_customer":
            assert "UserID" not in event
            assert event["ChatKey"] in keys
        else:
            assert (event["UserID"], event["ExternalUserID"]) == tuple(who.values())
    info = [ask("get_chat_info", chat_key=key) for key in keys]
    assert [item["chat_info"]["recv_msg_cnt"] for item in info] == [3, 5, 10]
    assert info[0]["chat_info"]["link_id"] == made["link_id"]
    assert (info[0]["external_userid"], info[0]["chat_info"]["state"]) == (person["external_userid"], "ad_1")
    assert ask("customer", link_id=made["link_id"])["customer_list"][0]["chat_status"] == 1
    control.advance_clock(1801)
    assert code(ask("get_chat_info", chat_key=keys[0])) == 40058
    with pytest.raises(SandboxControlError, match="409"):
        control.write_after_link("staff0002", control.state("member", "staff0002")["customers"][0])


def test_every_add_uses_up_quota_until_nobody_can_ask(link, control, inbox, wecom):
    made = link()
    control.leave_link_quota(20)
    assert wecom.get("externalcontact/customer_acquisition_quota")["balance"] == 20
    people = control.visit_link(made["link_id"], count=21)
    assert [item["added"] for item in people] == [True] * 20 + [False]
    assert people[20]["requested"] is False
    found = wecom.get("externalcontact/customer_acquisition_quota")
    assert (found["total"], found["balance"]) == (1000, 0)
    control.buy_link_quota(5)
    assert control.visit_link(made["link_id"])[0]["added"] is True
    control.wait_callbacks()
    told = [change for event, change in kinds(inbox) if event == "customer_acquisition"]
    assert sorted(told) == ["balance_exhausted", "balance_increased", "balance_low"]


def test_quota_that_expires_is_announced_and_gone(control, inbox, wecom, corp):
    now = int(control.overview()["now"])
    control.leave_link_quota(0)
    control.buy_link_quota(7, now + 4 * DAY)
    control.wait_callbacks()
    inbox.clear()
    control.advance_clock(3 * DAY + 60)
    control.wait_callbacks()
    told = inbox.events()
    assert [event["ChangeType"] for event in told] == ["quota_expire_soon"] * 3
    assert (told[0]["ExpireTime"], told[0]["ExpireQuotaNum"]) == (str(now + 4 * DAY), "7")
    control.advance_clock(DAY)
    wecom.login()
    assert wecom.get("externalcontact/customer_acquisition_quota")["balance"] == 0


def test_links_that_end_outside_the_api_call_back(link, control, inbox, ask):
    first, second = link()["link_id"], link()["link_id"]
    control.break_link(first)
    control.delete_link(second)
    control.wait_callbacks()
    assert sorted((event["ChangeType"], event["LinkId"]) for event in inbox.events()) == [
        ("delete_link", second),
        ("link_unavailable", first),
    ]
    with pytest.raises(SandboxControlError, match="409"):
        control.visit_link(first)
    assert code(ask("get", link_id=second)) == 40058
    assert code(ask("get", link_id=first)) == 0
