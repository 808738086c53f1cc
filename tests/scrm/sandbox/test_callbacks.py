from __future__ import annotations

import time

import pytest
from defusedxml.ElementTree import fromstring

from scrm.sandbox.control import SandboxControlError
from scrm.sandbox.ports import free_port

ENVELOPE = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"]


def test_the_outer_envelope_is_what_wecom_posts(inbox, corp, control):
    control.add("staff0001")
    assert control.wait_callbacks()
    outer = {child.tag: child.text for child in fromstring(inbox.requests[0])}
    assert set(outer) == {"ToUserName", "AgentID", "Encrypt"}
    assert (outer["ToUserName"], outer["AgentID"]) == ("wwsandbox00000001", "1000002")


def test_every_change_of_a_contact_has_the_fields_of_the_contract(inbox, corp, control):
    external = control.add("staff0001", state="ch1")[0]["external_userid"]
    control.wait_callbacks()
    for act in (
        lambda: control.edit("staff0001", external, remark="r"),
        lambda: control.approve_archive("staff0001", external),
        lambda: control.delete_follow("staff0001", external),
        lambda: control.transfer_fail("staff0002", external, "customer_limit_exceed"),
        lambda: control.delete_contact("staff0001", external, "DELETE_BY_TRANSFER"),
    ):
        act()
        control.wait_callbacks()
    rest = [
        [item for item in event.items() if item[0] not in {*ENVELOPE, "WelcomeCode"}]
        for event in inbox.events()
    ]
    who = [("UserID", "staff0001"), ("ExternalUserID", external)]
    assert rest == [
        [("ChangeType", "add_external_contact"), *who, ("State", "ch1")],
        [("ChangeType", "edit_external_contact"), *who, ("State", "ch1")],
        [("ChangeType", "msg_audit_approved"), *who, ("State", "ch1")],
        [("ChangeType", "del_follow_user"), *who],
        [
            ("ChangeType", "transfer_fail"),
            ("FailReason", "customer_limit_exceed"),
            ("UserID", "staff0002"),
            ("ExternalUserID", external),
        ],
        [("ChangeType", "del_external_contact"), *who, ("Source", "DELETE_BY_TRANSFER")],
    ]
    assert all(list(event)[:5] == ENVELOPE for event in inbox.events())


def test_editing_only_the_mobiles_calls_nobody(inbox, friend, control):
    assert control.edit(*friend, mobiles=["138"])["callbacks"] == []


def test_a_completed_transfer_moves_the_customer(inbox, friend, control):
    userid, external = friend
    control.transfer_done(userid, "staff0003", external)
    control.wait_callbacks()
    changes = {(event["ChangeType"], event["UserID"], event.get("Source")) for event in inbox.events()}
    assert changes == {
        ("del_external_contact", userid, "DELETE_BY_TRANSFER"),
        ("add_external_contact", "staff0003", None),
    }


def test_a_skip_verify_code_half_adds_first_and_then_adds(inbox, corp, control, wecom):
    way = {"type": 1, "scene": 2, "user": ["staff0001"], "state": "s"}
    config_id = wecom.contact("add_contact_way", **way)["config_id"]
    control.scan(config_id=config_id)
    control.wait_callbacks()
    assert {event["ChangeType"] for event in inbox.events()} == {
        "add_half_external_contact",
        "add_external_contact",
    }
    inbox.clear()
    wecom.contact("update_contact_way", config_id=config_id, skip_verify=False)
    control.scan(config_id=config_id)
    control.wait_callbacks()
    assert [event["ChangeType"] for event in inbox.events()] == ["add_external_contact"]


def test_scanning_again_as_a_friend_does_nothing_and_after_deleting_adds_again(inbox, corp, control):
    person = control.add("staff0001", unionid="oU1")[0]
    again = control.add("staff0001", unionid="oU1")[0]
    assert (again["already"], again["callbacks"]) == (True, [])
    assert again["external_userid"] == person["external_userid"]
    control.delete_follow("staff0001", person["external_userid"])
    assert len(control.add("staff0001", unionid="oU1")[0]["callbacks"]) == 1


def test_three_attempts_and_then_the_callback_is_lost(inbox, corp, control):
    inbox.statuses += [500, 404, 503]
    (delivery,) = control.add("staff0001")[0]["callbacks"]
    assert control.wait_callbacks()
    record = control.callbacks()[-1]
    assert (record["id"], record["status"], record["delivered_at"]) == (delivery, "failed", None)
    assert [item["status"] for item in record["attempts"]] == [500, 404, 503]
    assert len(set(inbox.bodies)) == 1


def test_a_retry_that_succeeds_is_a_delivery(inbox, corp, control):
    inbox.statuses += [500]
    control.add("staff0001")
    assert control.wait_callbacks()
    (record,) = control.callbacks(status="delivered")
    assert [item["status"] for item in record["attempts"]] == [500, 200]
    assert record["plaintext"] == inbox.bodies[0]


def test_nobody_listening_and_slow_answers_are_failures(corp, control):
    control.set_limits(callback_timeout_seconds=0.2)
    control.set_callback(f"http://127.0.0.1:{free_port()}/x", verify=False)
    control.add("staff0001")
    assert control.wait_callbacks()
    (record,) = control.callbacks(status="failed")
    assert len(record["attempts"]) == 3
    assert "Refused" in record["attempts"][0]["error"]


def test_an_app_only_hears_of_members_it_sees(inbox, corp, control, main_receiver):
    control.set_callback(main_receiver.url, "scoped", verify=False)
    control.add("staff0002")
    control.wait_callbacks()
    assert {item["app"] for item in control.callbacks()} == {"main"}
    control.add("staff0001")
    control.wait_callbacks()
    assert {item["app"] for item in control.callbacks(since=1)} == {"main", "scoped"}


def test_configuring_an_address_makes_the_echo_test(control, main_receiver):
    main_receiver.clear()
    assert control.set_callback(main_receiver.url)["callback_url"] == main_receiver.url
    main_receiver.echo_suffix = b"\n"
    with pytest.raises(SandboxControlError, match="failed the echo test") as refused:
        control.set_callback(main_receiver.url)
    assert refused.value.status == 422
    with pytest.raises(SandboxControlError, match="must be an http address"):
        control.set_callback("ftp://127.0.0.1/x")


def test_raw_events_of_any_kind_can_be_sent(inbox, control):
    control.raw_event("customer_acquisition", "<ChangeType><![CDATA[balance_low]]></ChangeType>")
    control.wait_callbacks()
    (event,) = inbox.events()
    assert (event["Event"], event["ChangeType"]) == ("customer_acquisition", "balance_low")


def test_duplicates_arrive_several_times_with_one_body(inbox, corp, control):
    control.fault("duplicate", copies=3)
    control.add("staff0001")
    control.wait_callbacks()
    assert len(inbox.bodies) == 3
    assert len(set(inbox.bodies)) == 1
    control.add("staff0002")
    control.wait_callbacks()
    assert len(inbox.bodies) == 4


def test_dropped_callbacks_never_arrive(inbox, corp, control):
    control.fault("drop", event="change_external_contact/add_*", times=None)
    control.add("staff0001")
    control.wait_callbacks()
    assert inbox.bodies == []
    assert control.callbacks()[0]["status"] == "dropped"


def test_delayed_callbacks_come_later(inbox, corp, control):
    control.fault("delay", seconds=0.3)
    began = time.monotonic()
    control.add("staff0001")
    control.wait_callbacks()
    assert time.monotonic() - began >= 0.3
    assert len(inbox.bodies) == 1


def test_reordered_callbacks_come_shuffled_and_none_is_lost(inbox, corp, control):
    control.fault("reorder", window=8, times=8, seed=3)
    made = [item["callbacks"][0] for item in control.add("staff0001", count=8)]
    control.wait_callbacks()
    order = [event["ExternalUserID"] for event in inbox.events()]
    by_id = {item["id"]: item["plaintext"] for item in control.callbacks()}
    sent = [next(e for e in order if e in by_id[item]) for item in made]
    assert sorted(order) == sorted(sent)
    assert order != sent


def test_what_a_reorder_holds_is_sent_when_faults_are_cleared(inbox, corp, control):
    control.fault("reorder", window=100, times=None)
    control.add("staff0001", count=3)
    control.wait_callbacks()
    assert inbox.bodies == []
    control.clear_faults()
    control.wait_callbacks()
    assert len(inbox.bodies) == 3


def test_a_callback_can_be_sent_again(inbox, corp, control):
    ids = control.add("staff0001")[0]["callbacks"]
    control.wait_callbacks()
    control.resend_callbacks(ids)
    control.wait_callbacks()
    assert len(inbox.bodies) == 2
    assert len(set(inbox.bodies)) == 1
    with pytest.raises(SandboxControlError, match="there is no callback 999"):
        control.resend_callbacks([999])
