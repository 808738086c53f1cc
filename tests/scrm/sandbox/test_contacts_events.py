from __future__ import annotations

import pytest

from scrm.sandbox.control import SandboxControlError


def code(answer):
    return answer["errcode"]


@pytest.fixture
def told(control, inbox):
    """told(): the callbacks since the last time, without the envelope."""
    envelope = {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"}

    def read():
        assert control.wait_callbacks()
        events = [{k: v for k, v in event.items() if k not in envelope} for event in inbox.events()]
        inbox.clear()
        return events

    return read


def test_a_new_member_is_told_of_with_every_field(corp, control, told, wecom):
    first, second = corp["departments"]
    control.create_staff(
        "new.one", "Nora", departments=[first, second], leader_in=[second], main_department=second,
        direct_leader=["staff0001"], position="Sales", alias="no", telephone="020-1",
    )  # fmt: skip
    assert told() == [
        {
            "ChangeType": "create_user",
            "UserID": "new.one",
            "Name": "Nora",
            "Department": f"{first},{second}",
            "MainDepartment": str(second),
            "IsLeaderInDept": "0,1",
            "DirectLeader": "staff0001",
            "Position": "Sales",
            "Status": "1",
            "Alias": "no",
            "Telephone": "020-1",
        }
    ]
    found = wecom.get("user/get", userid="new.one")
    assert (found["is_leader_in_dept"], found["main_department"]) == ([0, 1], second)
    assert found["direct_leader"] == ["staff0001"]
    assert wecom.get("department/get", id=second)["department"]["department_leader"] == ["new.one"]
    with pytest.raises(SandboxControlError, match="409"):
        control.create_staff("NEW.ONE", "Other")
    with pytest.raises(SandboxControlError, match="404"):
        control.create_staff("lost", "Lost", department=99)


def test_a_changed_member_is_told_of_with_what_changed(corp, control, told, wecom):
    control.update_staff("staff0001", departments=[1, corp["departments"][0]], status=2)
    assert told() == [
        {
            "ChangeType": "update_user",
            "UserID": "staff0001",
            "Department": f"1,{corp['departments'][0]}",
            "MainDepartment": "1",
            "IsLeaderInDept": "0,0",
            "Status": "2",
        }
    ]
    control.update_staff("staff0001", status=2)
    assert told() == []
    with pytest.raises(SandboxControlError, match="404"):
        control.update_staff("nobody", status=2)
    with pytest.raises(SandboxControlError, match="nothing"):
        control.update_staff("staff0001")


def test_a_new_userid_stands_everywhere(corp, control, told, wecom, friend):
    userid, external = friend
    config_id = wecom.contact("add_contact_way", type=1, scene=2, user=[userid])["config_id"]
    chat_id = control.create_group(userid, [external])["chat_id"]
    told()
    control.update_staff(userid, new_userid="zs01")
    assert told() == [{"ChangeType": "update_user", "UserID": userid, "NewUserID": "zs01"}]
    assert code(wecom.get("user/get", userid=userid)) == 60111
    assert external in wecom.get("externalcontact/list", userid="zs01")["external_userid"]
    follow = wecom.get("externalcontact/get", external_userid=external)["follow_user"][0]
    assert follow["userid"] == "zs01"
    assert wecom.contact("get_contact_way", config_id=config_id)["contact_way"]["user"] == ["zs01"]
    group = wecom.contact("groupchat/get", chat_id=chat_id)["group_chat"]
    assert (group["owner"], group["member_list"][0]["userid"]) == ("zs01", "zs01")
    assert control.scan(config_id=config_id)[0]["userid"] == "zs01"
    with pytest.raises(SandboxControlError, match="409"):
        control.update_staff("zs01", new_userid="staff0002")


def test_a_computed_corp_knows_a_new_userid_too(control, wecom):
    members = control.bulk(2, 10)["members"]
    before = wecom.get("externalcontact/list", userid=members[0])["external_userid"]
    control.update_staff(members[0], new_userid="zs01")
    assert wecom.get("externalcontact/list", userid="zs01")["external_userid"] == before
    rows = wecom.contact("batch/get_by_user", userid_list=["zs01"])["external_contact_list"]
    assert {row["follow_info"]["userid"] for row in rows} == {"zs01"}


def test_departments_are_made_moved_and_deleted(corp, control, told, wecom):
    first, second = corp["departments"]
    child = control.create_department("Team", first, order=5)
    assert told() == [
        {"ChangeType": "create_party", "Id": str(child), "Name": "Team", "ParentId": str(first), "Order": "5"}
    ]
    control.update_department(child, parentid=second)
    control.update_department(first, parentid=child, name="Moved")
    assert sorted(told(), key=lambda event: event["Id"]) == [
        {"ChangeType": "update_party", "Id": str(first), "Name": "Moved", "ParentId": str(child)},
        {"ChangeType": "update_party", "Id": str(child), "ParentId": str(second)},
    ]
    below = wecom.get("department/simplelist", id=second)["department_id"]
    assert {item["id"] for item in below} == {second, child, first}
    control.update_department(child, order=9)
    assert told() == []
    for wrong in (
        lambda: control.update_department(second, parentid=first),
        lambda: control.update_department(child, name="x", parentid=1) and control.create_department("x"),
        lambda: control.delete_department(1),
        lambda: control.delete_department(first),
        lambda: control.delete_department(second),
    ):
        with pytest.raises(SandboxControlError, match="409"):
            wrong()
    told()  # what was done on the way to the refusals
    empty = control.create_department("Empty")
    assert [event["ChangeType"] for event in told()] == ["create_party"]
    control.delete_department(empty)
    assert told() == [{"ChangeType": "delete_party", "Id": str(empty)}]
    assert code(wecom.get("department/get", id=empty)) == 60003


def test_people_of_a_moved_department_count_for_contact_ways(corp, control, wecom):
    first, second = corp["departments"]
    control.update_department(first, parentid=second)
    config_id = wecom.contact("add_contact_way", type=2, scene=2, party=[second])["config_id"]
    assert len(control.state("contact_way", config_id)["people"]) == 5


def test_member_tags_call_back_and_reach_people(corp, control, told, wecom):
    tag = control.create_member_tag("veterans")
    control.change_member_tag(tag, add_users=["staff0001", "staff0002"], add_parties=[corp["departments"][0]])
    control.change_member_tag(tag, del_users=["staff0002", "staff0003"], add_users=["staff0001"])
    control.change_member_tag(tag, add_users=["staff0001"])
    assert sorted(told(), key=len) == [
        {"ChangeType": "update_tag", "TagId": str(tag), "DelUserItems": "staff0002"},
        {
            "ChangeType": "update_tag",
            "TagId": str(tag),
            "AddUserItems": "staff0001,staff0002",
            "AddPartyItems": str(corp["departments"][0]),
        },
    ]
    assert wecom.get("tag/list")["taglist"] == [{"tagid": tag, "tagname": "veterans"}]
    found = wecom.get("tag/get", tagid=tag)
    assert [item["userid"] for item in found["userlist"]] == ["staff0001"]
    assert found["partylist"] == [corp["departments"][0]]
    assert code(wecom.get("tag/get", tagid=99)) == 40068
    body = {"agentid": 1000002, "msgtype": "text", "text": {"content": "hi"}, "totag": f"{tag}|77"}
    assert wecom.post("message/send", **body)["invalidtag"] == "77"
    inside = wecom.get("user/simplelist", department_id=corp["departments"][0])["userlist"]
    for userid in {"staff0001", *(item["userid"] for item in inside)}:
        assert control.state("app_messages", userid)["messages"]
    control.delete_staff("staff0001")
    assert control.state("member_tag", str(tag))["users"] == []


def test_a_changed_visible_range_subscribes_and_unsubscribes(corp, control, inbox, wecom):
    control.change_app(visible=["staff0001"])
    control.wait_callbacks()
    control.change_app(visible=["staff0002"])
    control.wait_callbacks()
    seen = [(event["Event"], event["FromUserName"]) for event in inbox.events()]
    assert seen.count(("unsubscribe", "staff0003")) == 1
    assert set(seen[4:]) == {("subscribe", "staff0002"), ("unsubscribe", "staff0001")}
    assert wecom.get("externalcontact/get_follow_user_list")["follow_user"] == ["staff0002"]
    told = wecom.get("agent/get", agentid=1000002)
    assert told["allow_userinfos"]["user"] == [{"userid": "staff0002"}]
    assert code(wecom.get("user/get", userid="staff0001")) == 60011
    control.change_app(visible=None)
    assert wecom.get("agent/get", agentid=1000002)["allow_partys"] == {"partyid": [1]}
    assert code(wecom.get("agent/get", agentid=1)) == 301002
    assert code(wecom.get("agent/get")) == 41011
    assert wecom.get("agent/list")["agentlist"][0]["agentid"] == 1000002


def test_an_app_can_lose_what_it_was_allowed(corp, control, wecom):
    control.change_app(features=["contacts"])
    assert code(wecom.get("externalcontact/get_follow_user_list")) == 48002
    control.change_app(features=["externalcontact", "contacts"], trusted_ips=["10.0.0.9"])
    refused = wecom.get("externalcontact/get_follow_user_list")
    assert (code(refused), "from ip: 127.0.0.1" in refused["errmsg"]) == (60020, True)
    control.change_app(trusted_ips=None, secret="another")
    assert code(wecom.get("externalcontact/get_follow_user_list")) == 0
    query = {"corpid": "wwsandbox00000001", "corpsecret": wecom.secret}
    assert code(wecom.get("gettoken", **query)) == 40001
    assert code(wecom.get("gettoken", **query | {"corpsecret": "another"})) == 0


def test_the_archive_is_announced_at_most_once_in_fifteen_seconds(corp, control, told):
    assert control.notify_archive()["callbacks"]
    assert control.notify_archive()["callbacks"] == []
    control.advance_clock(15)
    assert control.notify_archive()["callbacks"]
    assert told() == [{"AgentID": "2000004"}] * 2


def test_tags_of_rule_groups_and_reordered_groups_are_told_as_such(corp, control, told):
    made = control.strategy_tag("create", kind="tag_group", strategy_id=3)["id"]
    control.wait_callbacks()
    control.strategy_tag("shuffle", strategy_id=3, id=made)
    control.wait_callbacks()
    control.shuffle_tags()
    assert made.startswith("st")
    assert told() == [
        {"Id": made, "TagType": "tag_group", "StrategyId": "3", "ChangeType": "create"},
        {"Id": made, "StrategyId": "3", "ChangeType": "shuffle"},
        {"Id": "", "ChangeType": "shuffle"},
    ]
    assert made not in control.state_ids("tag_group")
