from __future__ import annotations

from itertools import pairwise

import pytest

from scrm.sandbox.control import SandboxControlError

DAY = 86_400


def code(answer):
    return answer["errcode"]


def started(answer):
    return [item["errcode"] for item in answer["customer"]]


@pytest.fixture
def transfer(wecom):
    def ask(customers, old="staff0001", new="staff0002", path="transfer_customer", **more):
        body = {"handover_userid": old, "takeover_userid": new, "external_userid": customers}
        return wecom.contact(path, **body, **more)

    return ask


@pytest.fixture
def result(wecom):
    def ask(old="staff0001", new="staff0002", path="transfer_result", **more):
        return wecom.contact(path, handover_userid=old, takeover_userid=new, **more)

    return ask


@pytest.fixture
def customers(corp, control):
    """The four customers of staff0001."""
    return control.state("member", "staff0001")["customers"]


def changes(inbox):
    return [
        (event["ChangeType"], event["UserID"], event.get("Source"), event.get("FailReason"))
        for event in inbox.events()
    ]


def test_a_transfer_waits_a_day_and_then_moves_the_customer(
    transfer, result, customers, control, inbox, wecom
):
    chosen = customers[:1]
    control.edit("staff0001", chosen[0], remark="VIP")
    control.wait_callbacks()
    inbox.clear()
    assert started(transfer(chosen, transfer_success_msg="您好")) == [0]
    control.advance_clock(DAY - 60)
    wecom.login()
    waiting = result()["customer"][0]
    assert waiting["status"] == 2
    assert waiting["takeover_time"] > control.overview()["now"]
    assert control.wait_callbacks()
    assert inbox.events() == []
    control.advance_clock(61)
    wecom.login()
    assert result()["customer"][0]["status"] == 1
    control.wait_callbacks()
    assert sorted(changes(inbox)) == [
        ("add_external_contact", "staff0002", None, None),
        ("del_external_contact", "staff0001", "DELETE_BY_TRANSFER", None),
    ]
    assert "WelcomeCode" not in str(inbox.events())
    follow = wecom.get("externalcontact/get", external_userid=chosen[0])["follow_user"][0]
    assert (follow["userid"], follow["add_way"], follow["remark"]) == ("staff0002", 202, "VIP")
    assert result()["customer"][0]["takeover_time"] <= control.overview()["now"]


def test_a_refused_transfer_fails_and_changes_nothing(transfer, result, customers, control, inbox):
    transfer(customers[:2])
    control.refuse_transfers(customers[:1])
    control.advance_clock(60)
    assert [item["status"] for item in result()["customer"]] == [3, 2]
    control.wait_callbacks()
    assert changes(inbox) == [("transfer_fail", "staff0002", None, "customer_refused")]
    assert customers[0] in control.state("member", "staff0001")["customers"]
    assert started(transfer(customers[:1])) == [0]
    with pytest.raises(SandboxControlError, match="409"):
        control.refuse_transfers([customers[3]])


def test_a_full_takeover_is_refused_at_once_or_fails_when_the_day_is_over(
    transfer, result, customers, control, inbox
):
    control.staff_behaviour(["staff0002"], contact_limit=5)
    assert started(transfer(customers[:2])) == [0, 0]
    assert control.finish_transfers()["external_userids"] == customers[:2]
    assert [item["status"] for item in result()["customer"]] == [1, 4]
    control.wait_callbacks()
    assert ("transfer_fail", "staff0002", None, "customer_limit_exceed") in changes(inbox)
    assert started(transfer(customers[2:3])) == [40099]


def test_every_customer_gets_an_errcode_of_its_own(transfer, customers, control, corp):
    other = control.state("member", "staff0003")["customers"]
    control.add("staff0002", external_userid=customers[2])
    assert started(transfer(customers[2:3], old="staff0002", new="staff0003")) == [0]
    answer = transfer(["wmnobody", other[0], customers[0], customers[0], customers[2]])
    assert started(answer) == [40096, 40131, 0, 40129, 40100]


def test_two_on_job_transfers_in_ninety_days(transfer, customers, control, wecom):
    chosen, hands = customers[:1], ["staff0001", "staff0002", "staff0003", "staff0004"]
    for old, new in pairwise(hands[:3]):
        assert started(transfer(chosen, old, new)) == [0]
        control.finish_transfers()
    assert started(transfer(chosen, "staff0003", "staff0004")) == [40128]
    control.advance_clock(90 * DAY)
    wecom.login()
    assert started(transfer(chosen, "staff0003", "staff0004")) == [0]


def test_the_call_is_refused_as_a_whole(transfer, customers, control, as_app, corp, wecom):
    one = customers[:1]
    assert code(transfer(one, new="staff0001")) == 40130
    assert code(transfer(one, new="nobody")) == 40003
    assert code(transfer(one, old="nobody")) == 40003
    assert code(transfer([])) == 41035
    assert code(transfer(["wm"] * 101)) == 40058
    assert code(transfer(one, transfer_success_msg="x" * 201)) == 40058
    assert code(wecom.contact("transfer_customer", takeover_userid="staff0002")) == 41009
    assert code(transfer(one, path="resigned/transfer_customer")) == 40097
    for changes_made, expected in (
        ({"contact_feature": False}, 84074),
        ({"contact_feature": True, "status": 4}, 41054),
        ({"status": 1, "verified": False}, 40098),
    ):
        control.staff_behaviour(["staff0002"], **changes_made)
        assert code(transfer(one)) == expected
    control.staff_behaviour(["staff0001"], status=2)
    assert code(transfer(one)) == 40143
    scoped = as_app("scoped")
    control.staff_behaviour(["staff0001"], status=1)
    body = {"handover_userid": "staff0001", "takeover_userid": "staff0002", "external_userid": one}
    assert code(scoped.contact("transfer_customer", **body)) == 60021
    assert code(
        scoped.contact("transfer_result", handover_userid="staff0001", takeover_userid="staff0002")
    ) == (60021)


def test_a_resigned_members_customers_are_unassigned_until_taken_over(
    transfer, result, customers, control, inbox, wecom
):
    control.delete_staff("staff0001")
    assert code(wecom.get("user/get", userid="staff0001")) == 60111
    seen = wecom.get("externalcontact/get", external_userid=customers[0])
    assert [item["userid"] for item in seen["follow_user"]] == ["staff0001"]
    listed = wecom.contact("get_unassigned_list")
    assert [item["external_userid"] for item in listed["info"]] == customers
    assert listed["is_last"] is True
    assert listed["info"][0]["dimission_time"] > 0
    assert code(transfer(customers[:1])) == 40003
    assert started(transfer(customers[:2], path="resigned/transfer_customer")) == [0, 0]
    assert len(wecom.contact("get_unassigned_list")["info"]) == 2
    control.refuse_transfers(customers[1:2])
    control.advance_clock(DAY)
    wecom.login()
    rows = result(path="resigned/transfer_result")["customer"]
    assert [(item["external_userid"], item["status"]) for item in rows] == [
        (customers[0], 1),
        (customers[1], 3),
    ]
    assert result()["customer"] == []
    left = [item["external_userid"] for item in wecom.contact("get_unassigned_list")["info"]]
    assert left == customers[1:]
    assert [item["external_userid"] for item in control.unassigned()] == left
    control.wait_callbacks()
    assert sorted(changes(inbox)) == [
        ("add_external_contact", "staff0002", None, None),
        ("delete_user", "staff0001", None, None),
        ("transfer_fail", "staff0002", None, "customer_refused"),
    ]
    assert control.state("transfer", customers[0])["transfers"][0]["resigned"] is True


def test_unassigned_customers_come_by_page_or_by_cursor(corp, control, wecom, customers):
    control.delete_staff("staff0001")
    first = wecom.contact("get_unassigned_list", page_size=3)
    assert (len(first["info"]), first["is_last"]) == (3, False)
    rest = wecom.contact("get_unassigned_list", page_size=3, cursor=first["next_cursor"])
    assert (len(rest["info"]), rest["is_last"], rest["next_cursor"]) == (1, True, "")
    assert wecom.contact("get_unassigned_list", page_size=3, page_id=1)["info"] == rest["info"]
    assert code(wecom.contact("get_unassigned_list", page_size=1000, page_id=50)) == 40058
    assert code(wecom.contact("get_unassigned_list", page_size=1001)) == 40058
    assert code(wecom.contact("get_unassigned_list", cursor="zz")) == 50100


def test_a_member_who_comes_back_gets_what_nobody_took(corp, control, wecom, customers):
    control.delete_staff("staff0001")
    assert wecom.contact("groupchat/list", limit=9, status_filter=1)["group_chat_list"]
    control.create_staff("staff0001", "Back")
    assert wecom.get("externalcontact/list", userid="staff0001")["external_userid"] == customers
    assert wecom.contact("get_unassigned_list")["info"] == []
    assert wecom.contact("groupchat/list", limit=9, status_filter=1)["group_chat_list"] == []


def test_a_relation_that_ended_meanwhile_leaves_no_record(transfer, result, customers, control):
    transfer(customers[:1])
    control.delete_contact("staff0001", customers[0])
    control.finish_transfers()
    assert result()["customer"][0]["status"] == 5


def test_results_come_in_pages(transfer, result, customers, control):
    people = [item["external_userid"] for item in control.add("staff0001", count=1001)]
    for start in range(0, 1001, 100):
        assert set(started(transfer(people[start : start + 100]))) == {0}
    first = result()
    assert len(first["customer"]) == 1000
    rest = result(cursor=first["next_cursor"])
    assert [item["external_userid"] for item in rest["customer"]] == people[1000:]
    assert "next_cursor" not in rest
    assert code(result(cursor="zz")) == 50100


def test_transfers_under_way_outlive_a_restart(tmp_path):
    from scrm.sandbox.app import create_sandbox
    from scrm.sandbox.config import SandboxConfig
    from scrm.sandbox.people import transfers
    from scrm.sandbox.people.population import Plan, populate
    from scrm.sandbox.state_file import save

    path = tmp_path / "state"
    first = create_sandbox(SandboxConfig()).extensions["sandbox"]
    populate(first.world, Plan(members=2, customers=4))
    old, new = first.world.members.values()
    chosen = next(iter(old.follows))
    assert transfers.start(first, old, new, chosen, None) == 0
    save(first, path)
    second = create_sandbox(SandboxConfig(), path).extensions["sandbox"]
    with second.world.lock:
        second.world.clock.advance(DAY)
        second.scheduler.clock_moved()
    assert chosen in second.world.members[new.userid].follows
    for sandbox in (first, second):
        sandbox.stop()


# Groups


@pytest.fixture
def group(corp, control, inbox):
    made = control.create_group("staff0001", [])["chat_id"]
    control.wait_callbacks()
    inbox.clear()
    return made


def failed(answer):
    assert code(answer) == 0
    return [item["errcode"] for item in answer["failed_chat_list"]]


def test_a_resigned_owners_group_is_inherited(group, control, wecom, inbox):
    assert failed(wecom.contact("groupchat/transfer", chat_id_list=[group], new_owner="staff0002")) == [90500]
    control.delete_staff("staff0001")
    before = wecom.contact("groupchat/get", chat_id=group)["group_chat"]["member_version"]
    assert failed(wecom.contact("groupchat/onjob_transfer", chat_id_list=[group], new_owner="staff0002")) == [
        90502
    ]
    control.set_limits(group_transfer_seconds=30)
    move = {"chat_id_list": [group], "new_owner": "staff0002"}
    assert failed(wecom.contact("groupchat/transfer", **move)) == []
    assert failed(wecom.contact("groupchat/transfer", **move)) == [90507]
    assert wecom.contact("groupchat/list", limit=9, status_filter=2)["group_chat_list"] == [
        {"chat_id": group, "status": 2}
    ]
    control.advance_clock(31)
    shown = wecom.contact("groupchat/get", chat_id=group)["group_chat"]
    assert shown["owner"] == "staff0002"
    assert [item["userid"] for item in shown["member_list"]] == ["staff0002"]
    assert shown["member_version"] != before
    assert wecom.contact("groupchat/list", limit=9, status_filter=3)["group_chat_list"] == [
        {"chat_id": group, "status": 3}
    ]
    move["new_owner"] = "staff0003"
    assert failed(wecom.contact("groupchat/transfer", **move)) == [90508]
    control.wait_callbacks()
    assert [event["Event"] for event in inbox.events()] == ["change_contact"]


def test_an_owner_on_the_job_hands_groups_over_twice_in_ninety_days(group, control, wecom):
    def give(new):
        return failed(wecom.contact("groupchat/onjob_transfer", chat_id_list=[group], new_owner=new))

    assert give("staff0001") == [90504]
    assert give("staff0002") == []
    assert give("staff0003") == []
    assert give("staff0004") == [40128]
    control.advance_clock(90 * DAY)
    wecom.login()
    assert give("staff0004") == []


def test_groups_that_cannot_be_transferred(group, control, wecom, corp, as_app):
    def give(chats, new="staff0002", api=wecom):
        return api.contact("groupchat/onjob_transfer", chat_id_list=chats, new_owner=new)

    dissolved, quiet = (control.create_group("staff0001", [])["chat_id"] for _ in range(2))
    control.dismiss_group(dissolved)
    control.group_behaviour(quiet, inactive=True)
    assert failed(give(["wrnone", dissolved, quiet])) == [90501, 49008, 90510]
    assert code(give([])) == 40063
    assert code(give(["wr"] * 101)) == 40058
    assert code(give([group], "nobody")) == 40003
    assert code(give([group], api=as_app("scoped"))) == 60021
    control.staff_behaviour(["staff0002"], status=4)
    assert code(give([group])) == 41054


def test_an_owner_gives_so_many_groups_a_day_to_one_member(group, control, wecom):
    control.set_limits(group_transfers_per_day=1)
    second = control.create_group("staff0001", [])["chat_id"]
    give = {"chat_id_list": [group, second], "new_owner": "staff0002"}
    assert failed(wecom.contact("groupchat/onjob_transfer", **give)) == [45009]
    control.advance_clock(DAY)
    wecom.login()
    assert failed(wecom.contact("groupchat/onjob_transfer", **give | {"chat_id_list": [second]})) == []


def test_a_new_userid_does_not_stop_a_transfer(transfer, result, customers, control):
    transfer(customers[:1])
    control.update_staff("staff0002", new_userid="zs01")
    control.finish_transfers()
    assert result(new="zs01")["customer"][0]["status"] == 1
    assert customers[0] in control.state("member", "zs01")["customers"]
