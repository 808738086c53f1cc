"""A call that left and got no answer: asked about, never simply sent again; compared with the sandbox's own log."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.queues import Queue
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.wecom.claiming import claim_to_send
from scrm.wecom.client import Gateway
from scrm.wecom.gates import Gates
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.registry import kinds
from scrm.wecom.transfer_match import NOT_TOLD
from tests.scrm.wecom.conftest import call, carry_out, due_now, effect, planned

ANSWERS_LOST = ("truncate", "timeout_after_success")
NEVER_TAKEN = ("hang", "html", "disconnect")


@pytest.fixture(autouse=True)
def _short_timeouts(corp, app, settings):
    """Answers are waited for 0.2 seconds."""
    wecom = settings.wecom.model_copy(update={"read_timeout_seconds": 0.2})
    app.extensions["scrm_wecom"] = Gateway(settings.model_copy(update={"wecom": wecom}))
    corp.control.set_limits(mass_send_dispatch_seconds=0)
    corp.control.set_callback(
        "http://127.0.0.1:9/", verify=False
    )  # without an address no welcome codes are made
    yield
    corp.control.set_callback(None)
    corp.control.set_limits(mass_send_dispatch_seconds=1.0)
    app.extensions.pop("scrm_wecom")


def settle(made: int, kind: str, rounds: int = 6, shift: timedelta = timedelta()) -> Effect:
    """Run the lane until the effect is final or rounds are over."""
    for _ in range(rounds):
        with shifted(shift):
            carry_out(kind)
        row = effect(made)
        if row.finished_at:
            return row
        due_now(made)
    return row


def lose_answer(corp, fault: str, api: str) -> None:
    corp.control.fault(fault, api=api, seconds=0.4)


@pytest.mark.parametrize("fault", [*ANSWERS_LOST, *NEVER_TAKEN])
def test_a_tag_mark_without_an_answer_happens_exactly_once(corp, fault):
    api, vip = "externalcontact/mark_tag", corp.tag_ids("VIP")
    lose_answer(corp, fault, api)
    made = planned(
        "mark_tag",
        {"userid": corp.userid, "external_userid": corp.people[0], "add_tag": vip, "remove_tag": []},
    )
    carry_out("mark_tag")
    assert effect(made).state == EffectState.UNKNOWN
    corp.control.clear_faults()
    due_now(made)
    row = settle(made, "mark_tag")
    assert row.state == EffectState.CONFIRMED
    assert len(corp.accepted(api)) == 1
    assert corp.tags_of(corp.people[0]) == set(vip)


def _tag(corp) -> str:
    return corp.tag_ids("VIP")[0]


def _way(corp) -> str:
    return call("externalcontact/add_contact_way", type=1, scene=2, user=[corp.userid], state="s0")[
        "config_id"
    ]


def _mass(corp) -> str:
    body = {"external_userid": corp.people, "sender": corp.userid, "text": {"content": "旧"}}
    return call("externalcontact/add_msg_template", **body)["msgid"]


def _welcome_code(corp) -> str:
    before = set(corp.control.state_ids("welcome"))
    corp.control.add(corp.userid)
    (code,) = set(corp.control.state_ids("welcome")) - before
    return code


def _kf(corp) -> dict:
    account = call("kf/account/list")["account_list"][0]["open_kfid"]
    person = corp.control.chat(content="在吗", open_kfid=account)["external_userid"]
    return {"open_kfid": account, "external_userid": person}


def _to(kf: dict) -> dict:
    return {"open_kfid": kf["open_kfid"], "touser": kf["external_userid"]}


def _text(content: str) -> dict:
    return {"msgtype": "text", "text": {"content": content}}


def _join_way(corp) -> dict:
    body = {"scene": 2, "auto_create_room": 0, "chat_id_list": [corp.group()], "state": "gc0", "remark": "群"}
    return {**body, **call("externalcontact/groupchat/add_join_way", **body)}


def _template(corp) -> str:
    made = call("externalcontact/group_welcome_template/add", text={"content": "欢迎 %NICKNAME%"}, notify=0)
    return made["template_id"]


def _link(corp) -> dict:
    body = {"link_name": "投放", "range": {"user_list": [corp.userid], "department_list": []}}
    return {**body, **call("externalcontact/customer_acquisition/create_link", **body)["link"]}


def _link_body(corp, name: str) -> dict:
    return {
        "link_name": name,
        "range": {"user_list": [corp.userid], "department_list": []},
        "skip_verify": True,
    }


def _heir(corp) -> str:
    corp.control.create_staff("heir", "接替")
    return "heir"


def _leaver(corp) -> tuple[str, list[str]]:
    """A member who has left with two customers."""
    corp.control.create_staff("leaver", "离职")
    people = [person["external_userid"] for person in corp.control.add("leaver", count=2)]
    corp.control.delete_staff("leaver")
    return "leaver", people


def _resigned_transfer(corp) -> dict:
    userid, people = _leaver(corp)
    return {"handover_userid": userid, "takeover_userid": corp.userid, "external_userid": people}


def _left_group(corp) -> str:
    corp.control.create_staff("owner", "群主")
    chat_id = corp.control.create_group("owner", [])["chat_id"]
    corp.control.delete_staff("owner")
    return chat_id


KINDS = {
    "transfer_customer": lambda corp: {
        "handover_userid": corp.userid,
        "takeover_userid": _heir(corp),
        "external_userid": corp.people,
        "transfer_success_msg": "您好",
    },
    "resigned_transfer_customer": _resigned_transfer,
    "group_onjob_transfer": lambda corp: {"chat_id_list": [corp.group()], "new_owner": _heir(corp)},
    "group_transfer": lambda corp: {"chat_id_list": [_left_group(corp)], "new_owner": corp.userid},
    "add_join_way": lambda corp: {
        "scene": 2,
        "auto_create_room": 0,
        "chat_id_list": [corp.group()],
        "state": "gc1",
    },
    "update_join_way": lambda corp: {
        key: value for key, value in {**_join_way(corp), "remark": "新"}.items() if not key.startswith("err")
    },
    "delete_join_way": lambda corp: {"config_id": _join_way(corp)["config_id"]},
    "edit_welcome_template": lambda corp: {
        "template_id": _template(corp),
        "text": {"content": "新 %NICKNAME%"},
    },
    "delete_welcome_template": lambda corp: {"template_id": _template(corp)},
    "add_acquisition_link": lambda corp: _link_body(corp, "地推"),
    "update_acquisition_link": lambda corp: {"link_id": _link(corp)["link_id"], **_link_body(corp, "新名")},
    "delete_acquisition_link": lambda corp: {"link_id": _link(corp)["link_id"]},
    "remark": lambda corp: {"userid": corp.userid, "external_userid": corp.people[0], "remark": "王总"},
    "add_tag": lambda corp: {"group_name": "来源", "tag": [{"name": "展会"}, {"name": "官网"}]},
    "edit_tag": lambda corp: {"id": _tag(corp), "name": "大客户"},
    "delete_tag": lambda corp: {"tag_id": [_tag(corp)], "group_id": []},
    "add_contact_way": lambda corp: {"type": 1, "scene": 2, "user": [corp.userid], "state": "code-7"},
    "update_contact_way": lambda corp: {"config_id": _way(corp), "remark": "新", "user": [corp.userid]},
    "delete_contact_way": lambda corp: {"config_id": _way(corp)},
    "kf_message": lambda corp: {**_to(_kf(corp)), **_text("您好")},
    "kf_event_message": lambda corp: {"code": corp.control.kf_enter()["welcome_code"], **_text("欢迎")},
    "kf_transfer": lambda corp: {**_kf(corp), "service_state": 1},
    "welcome": lambda corp: {"welcome_code": _welcome_code(corp), "text": {"content": "您好"}},
    "staff_message": lambda corp: {"touser": corp.userid, **_text("有新客户")},
    "broadcast_cancel": lambda corp: {"msgid": _mass(corp)},
}


@pytest.mark.parametrize("fault", ["truncate", "disconnect"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_without_an_answer_happens_exactly_once(corp, kind, fault):
    payload = KINDS[kind](corp)
    api = kinds()[kind].api
    before = len(corp.accepted(api))
    lose_answer(corp, fault, api)
    made = planned(kind, payload)
    carry_out(kind)
    assert effect(made).state == EffectState.UNKNOWN
    corp.control.clear_faults()
    due_now(made)
    called = len(corp.control.log(everything=True))
    row = settle(made, kind)
    assert row.state == EffectState.CONFIRMED
    assert len(corp.accepted(api)) - before == calls_carried_out(kind, fault)
    assert corp.control.log(everything=True)[called]["api"] == kinds()[kind].asked_at


def calls_carried_out(kind: str, fault: str) -> int:
    """Accepted calls: WeCom takes the same message/send twice and delivers it once; of join ways a spare is made."""
    return 2 if (kind, fault) in {("staff_message", "truncate"), ("add_join_way", "truncate")} else 1


BROADCASTS = {
    "single": lambda corp, text: {
        "chat_type": "single",
        "external_userid": corp.people,
        "sender": corp.userid,
        "text": {"content": text},
        "attachments": [{"msgtype": "link", "link": {"title": "价目", "url": "https://example.com/a"}}],
    },
    "group": lambda corp, text: {
        "chat_type": "group",
        "chat_id_list": [corp.group()],
        "sender": corp.userid,
        "text": {"content": text},
    },
}


@pytest.mark.parametrize("chat_type", BROADCASTS)
def test_a_broadcast_accepted_without_an_answer_is_found_and_not_sent_again(corp, chat_type):
    payload = BROADCASTS[chat_type](corp, "周末活动")
    other = call("externalcontact/add_msg_template", **{**payload, "text": {"content": "别的"}})
    lose_answer(corp, "timeout_after_success", "externalcontact/add_msg_template")
    made = planned("broadcast", payload)
    carry_out("broadcast")
    assert effect(made).state == EffectState.UNKNOWN
    due_now(made)
    row = settle(made, "broadcast")
    (msgid,) = set(corp.control.state_ids("mass_send")) - {other["msgid"]}
    assert (row.state, row.result) == (EffectState.CONFIRMED, {"msgid": msgid, "fail_list": []})


def test_a_broadcast_found_again_knows_whom_wecom_left_out(corp):
    payload = BROADCASTS["single"](corp, "周末活动")
    payload["external_userid"] = [*corp.people, "wmStranger"]
    lose_answer(corp, "truncate", "externalcontact/add_msg_template")
    made = planned("broadcast", payload)
    carry_out("broadcast")
    due_now(made)
    assert settle(made, "broadcast").result["fail_list"] == ["wmStranger"]


def test_a_broadcast_that_never_arrived_is_sent_after_wecoms_delay_and_once(corp):
    lose_answer(corp, "hang", "externalcontact/add_msg_template")
    made = planned("broadcast", BROADCASTS["single"](corp, "周末活动"))
    carry_out("broadcast")
    corp.control.clear_faults()
    due_now(made)
    carry_out("broadcast")
    assert effect(made).state == EffectState.UNKNOWN  # too early to say
    due_now(made)
    row = settle(made, "broadcast", shift=timedelta(seconds=61))
    assert row.state == EffectState.CONFIRMED
    assert corp.control.state_ids("mass_send") == [row.result["msgid"]]


def test_two_equal_broadcasts_without_answers_find_each_its_own_task(corp):
    corp.control.fault("truncate", api="externalcontact/add_msg_template", times=2)
    halves = [corp.people[:1], corp.people[1:]]
    made = [
        planned("broadcast", {**BROADCASTS["single"](corp, "周末活动"), "external_userid": half})
        for half in halves
    ]
    carry_out("broadcast")
    for one in made:
        due_now(one)
    carry_out("broadcast")
    msgids = [effect(one).result["msgid"] for one in made]
    assert {effect(one).state for one in made} == {EffectState.CONFIRMED}
    assert len(set(msgids)) == 2
    for half, msgid in zip(halves, msgids, strict=True):
        found = call("externalcontact/get_groupmsg_send_result", msgid=msgid, userid=corp.userid)
        assert {sent["external_userid"] for sent in found["send_list"]} == set(half)


def test_a_task_of_another_effect_is_never_adopted(corp):
    payload = BROADCASTS["single"](corp, "每日问候")
    first = planned("broadcast", payload)
    carry_out("broadcast")
    lose_answer(corp, "disconnect", "externalcontact/add_msg_template")
    second = planned("broadcast", payload)
    carry_out("broadcast")
    due_now(second)
    row = settle(second, "broadcast", shift=timedelta(seconds=61))
    assert row.state == EffectState.CONFIRMED
    assert row.result["msgid"] != effect(first).result["msgid"]
    assert len(corp.control.state_ids("mass_send")) == 2


def test_a_transfer_found_again_knows_whom_wecom_refused(corp):
    payload = KINDS["transfer_customer"](corp) | {"external_userid": [*corp.people, "wmStranger"]}
    lose_answer(corp, "truncate", "externalcontact/transfer_customer")
    made = planned("transfer_customer", payload)
    carry_out("transfer_customer")
    due_now(made)
    told = {
        row["external_userid"]: row["errcode"] for row in settle(made, "transfer_customer").result["customer"]
    }
    assert told == {**dict.fromkeys(corp.people, 0), "wmStranger": NOT_TOLD}


def test_a_refusal_of_an_earlier_transfer_is_not_taken_for_this_one(corp):
    payload = KINDS["transfer_customer"](corp) | {"external_userid": corp.people[:1]}
    call("externalcontact/transfer_customer", **payload)
    corp.control.refuse_transfers()
    corp.control.advance_clock(3600)
    lose_answer(corp, "disconnect", "externalcontact/transfer_customer")  # never arrives
    with shifted(timedelta(hours=1)):
        made = planned("transfer_customer", payload)
        carry_out("transfer_customer")
    corp.control.clear_faults()
    due_now(made)
    row = settle(made, "transfer_customer", shift=timedelta(hours=1))
    assert row.state == EffectState.CONFIRMED
    assert len(corp.accepted("externalcontact/transfer_customer")) == 2


def test_a_reminder_without_an_answer_is_left_to_a_person(corp):
    lose_answer(corp, "truncate", "externalcontact/remind_groupmsg_send")
    made = planned("broadcast_remind", {"msgid": _mass(corp)})
    carry_out("broadcast_remind")
    carry_out("broadcast_remind")
    row = effect(made)
    assert (row.state, row.next_at) == (EffectState.UNKNOWN, None)
    assert len(corp.accepted("externalcontact/remind_groupmsg_send")) == 1


def test_a_welcome_template_without_an_answer_is_left_to_a_person(corp):
    api = "externalcontact/group_welcome_template/add"
    lose_answer(corp, "truncate", api)
    made = planned("add_welcome_template", {"text": {"content": "欢迎 %NICKNAME%"}, "notify": 0})
    carry_out("add_welcome_template")
    due_now(made)
    carry_out("add_welcome_template")
    row = effect(made)
    assert (row.state, row.next_at) == (EffectState.UNKNOWN, None)
    assert len(corp.accepted(api)) == 1


def test_a_welcome_is_not_called_again_between_its_deadline_and_the_codes_end(corp):
    lose_answer(corp, "disconnect", "externalcontact/send_welcome_msg")
    body = {"welcome_code": _welcome_code(corp), "text": {"content": "您好"}}
    made = planned("welcome", body, deadline_at=utcnow() + timedelta(seconds=18.5))
    carry_out("welcome")
    due_now(made)
    with shifted(timedelta(seconds=20)):
        carry_out("welcome")
    assert effect(made).state == EffectState.UNKNOWN
    assert corp.accepted("externalcontact/send_welcome_msg") == []
    corp.control.advance_clock(30)
    due_now(made)
    with shifted(timedelta(seconds=30)):
        carry_out("welcome")
    assert (effect(made).state, effect(made).errcode) == (EffectState.FAILED, 41050)


def test_41051_on_the_first_call_is_a_refusal_and_not_a_delivery(corp):
    corp.control.fault("errcode", api="externalcontact/send_welcome_msg", errcode=41051)
    made = planned("welcome", {"welcome_code": "C", "text": {"content": "您好"}})
    carry_out("welcome")
    assert (effect(made).state, effect(made).errcode) == (EffectState.FAILED, 41051)


def test_41096_is_tried_again_within_the_second(corp):
    corp.control.fault("errcode", api="externalcontact/send_welcome_msg", errcode=41096)
    made = planned("welcome", {"welcome_code": _welcome_code(corp), "text": {"content": "您好"}})
    carry_out("welcome")
    assert effect(made).next_at - utcnow() < timedelta(seconds=0.7)
    due_now(made)
    assert settle(made, "welcome").state == EffectState.CONFIRMED


def test_an_effect_left_behind_by_a_dead_worker_is_asked_about(corp):
    vip = corp.tag_ids("VIP")
    made = planned(
        "mark_tag",
        {"userid": corp.userid, "external_userid": corp.people[0], "add_tag": vip, "remove_tag": []},
    )
    with transaction():
        claim_to_send(Queue.EVENTS, Gates(), 10, seconds=60)
    carry_out("mark_tag")
    assert effect(made).state == EffectState.SENT
    with shifted(timedelta(seconds=61)):
        carry_out("mark_tag")  # asks: it was not done
        carry_out("mark_tag")
    assert effect(made).state == EffectState.CONFIRMED
    assert len(corp.accepted("externalcontact/mark_tag")) == 1


def test_asking_that_fails_is_repeated_and_counts_for_nothing(corp):
    lose_answer(corp, "truncate", "externalcontact/remark")
    made = planned("remark", KINDS["remark"](corp))
    carry_out("remark")
    corp.control.fault("html", api="externalcontact/get")
    due_now(made)
    carry_out("remark")
    row = effect(made)
    assert (row.state, row.attempts) == (EffectState.UNKNOWN, 1)
    assert row.next_at > utcnow()
    due_now(made)
    assert settle(made, "remark").state == EffectState.CONFIRMED


def test_a_reply_without_an_answer_is_not_delivered_after_its_deadline(corp):
    made = planned("kf_message", KINDS["kf_message"](corp), deadline_at=utcnow() + timedelta(minutes=1))
    with transaction():  # a worker takes it and dies before the call
        assert claim_to_send(Queue.URGENT, Gates(), 10, 0)
    row = settle(made, "kf_message", rounds=1, shift=timedelta(minutes=2))
    assert corp.accepted("kf/send_msg") == []
    assert (row.state, row.next_at) == (EffectState.UNKNOWN, None)
