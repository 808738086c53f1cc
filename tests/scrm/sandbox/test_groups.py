from __future__ import annotations

import pytest
from defusedxml.ElementTree import fromstring


def code(answer):
    return answer["errcode"]


@pytest.fixture
def group(corp, control, inbox):
    """A group of staff0001 with one customer: (chat_id, the customer)."""
    external = control.state("member", "staff0001")["customers"][0]
    made = control.create_group("staff0001", [external], name="VIP")
    assert control.wait_callbacks()
    return made["chat_id"], external


def get(wecom, chat_id, **more):
    return wecom.contact("groupchat/get", chat_id=chat_id, **more)


def test_groups_are_listed_in_pages_and_by_owner(wecom, corp, control):
    control.create_group("staff0003")
    first = wecom.contact("groupchat/list", limit=2)
    rest = wecom.contact("groupchat/list", limit=2, cursor=first["next_cursor"])
    assert len(first["group_chat_list"]) + len(rest["group_chat_list"]) == 3
    assert "next_cursor" not in rest
    mine = wecom.contact("groupchat/list", limit=10, owner_filter={"userid_list": ["staff0003"]})
    assert [item["status"] for item in mine["group_chat_list"]] == [0]


def test_group_list_checks_its_input(wecom, corp, control):
    assert code(wecom.contact("groupchat/list")) == 40063
    assert code(wecom.contact("groupchat/list", limit=1001)) == 40058
    assert code(wecom.contact("groupchat/list", limit=5, status_filter=9)) == 40058
    assert code(wecom.contact("groupchat/list", limit=5, cursor="zz")) == 50100
    assert code(wecom.contact("groupchat/list", limit=5, owner_filter={"userid_list": ["x"] * 101})) == 40032
    control.set_limits(unscoped_group_people=4)
    assert code(wecom.contact("groupchat/list", limit=5)) == 81017
    assert code(wecom.contact("groupchat/list", limit=5, owner_filter={"userid_list": ["staff0001"]})) == 0


def test_get_shows_members_and_names_on_request(wecom, group, control):
    chat_id, external = group
    control.join_group(chat_id, ["staff0002"], join_scene=1, invitor="staff0001")
    found = get(wecom, chat_id)["group_chat"]
    assert (found["name"], found["owner"]) == ("VIP", "staff0001")
    by_id = {item["userid"]: item for item in found["member_list"]}
    assert (by_id[external]["type"], by_id["staff0001"]["type"]) == (2, 1)
    assert by_id["staff0002"]["invitor"] == {"userid": "staff0001"}
    assert by_id[external]["unionid"]
    assert "name" not in by_id[external]
    assert "notice" not in found
    named = get(wecom, chat_id, need_name=1)["group_chat"]["member_list"]
    assert all(item["name"] for item in named)


def test_get_refuses_unknown_invisible_and_dissolved_groups(wecom, group, control, as_app, corp):
    chat_id, _ = group
    assert code(get(wecom, "wrnone")) == 40050
    assert code(wecom.contact("groupchat/get")) == 40050
    assert code(get(wecom, chat_id, need_name=7)) == 40058
    other = control.create_group("staff0002")["chat_id"]
    assert code(get(as_app("scoped"), other)) == 40050
    control.dismiss_group(chat_id)
    assert code(get(wecom, chat_id)) == 49008


def test_joining_and_leaving_move_the_version_chain(wecom, group, control, inbox):
    chat_id, _ = group
    versions = [get(wecom, chat_id)["group_chat"]["member_version"]]
    people = control.state("member", "staff0002")["customers"][:2]
    inbox.clear()
    control.join_group(chat_id, people, join_scene=3, state="st1")
    control.wait_callbacks()
    versions.append(get(wecom, chat_id)["group_chat"]["member_version"])
    control.leave_group(chat_id, people[:1], removed=True)
    control.wait_callbacks()
    versions.append(get(wecom, chat_id)["group_chat"]["member_version"])
    joined, left = inbox.events()
    assert (joined["UpdateDetail"], joined["JoinScene"], joined["MemChangeCnt"]) == ("add_member", "3", "2")
    assert (left["UpdateDetail"], left["QuitScene"], left["MemChangeCnt"]) == ("del_member", "1", "1")
    assert [joined["LastMemVer"], joined["CurMemVer"]] == versions[:2]
    assert [left["LastMemVer"], left["CurMemVer"]] == versions[1:]
    items = [item.text for item in fromstring(inbox.bodies[0]).findall("MemChangeList/Item")]
    assert items == people


def test_other_changes_and_the_end_call_back(group, control, inbox):
    chat_id, external = group
    inbox.clear()
    for act in (
        lambda: control.rename_group(chat_id, "New"),
        lambda: control.notice_group(chat_id, "Read me"),
        lambda: control.own_group(chat_id, "staff0002"),
        lambda: control.leave_group(chat_id, [external]),
        lambda: control.dismiss_group(chat_id),
    ):
        act()
        control.wait_callbacks()
    found = [(event["ChangeType"], event.get("UpdateDetail")) for event in inbox.events()]
    assert found == [
        ("update", "change_name"),
        ("update", "change_notice"),
        ("update", "change_owner"),
        ("update", "del_member"),
        ("dismiss", None),
    ]
    assert control.state("group", chat_id)["owner"] == "staff0002"
