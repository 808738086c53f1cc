from __future__ import annotations

import pytest

from scrm.sandbox.control import SandboxControlError


def code(answer):
    return answer["errcode"]


@pytest.fixture
def chats(corp, control):
    """Two groups of staff0001 with room for two people each, the owner included."""
    made = [control.create_group("staff0001", [], name=f"g{index}")["chat_id"] for index in (1, 2)]
    for chat_id in made:
        control.group_behaviour(chat_id, capacity=2)
    return made


@pytest.fixture
def way(wecom, chats):
    def make(**more):
        answer = wecom.contact("groupchat/add_join_way", **{"scene": 2, "chat_id_list": chats, **more})
        assert code(answer) == 0
        assert set(answer) == {"errcode", "errmsg", "config_id"}
        return answer["config_id"]

    return make


def shown(wecom, config_id):
    return wecom.contact("groupchat/get_join_way", config_id=config_id)["join_way"]


def test_a_way_is_read_back_with_its_code(wecom, way, chats):
    config_id = way(
        remark="字" * 40, state="poster", room_base_name="福利群", room_base_id=7, mark_source=False
    )
    found = shown(wecom, config_id)
    assert len(config_id) == 32
    assert wecom.session.get(found.pop("qr_code"), timeout=30).headers["Content-Type"] == "image/png"
    assert found == {
        "config_id": config_id,
        "scene": 2,
        "remark": "字" * 30,
        "auto_create_room": 1,
        "room_base_name": "福利群",
        "room_base_id": 7,
        "chat_id_list": chats,
        "state": "poster",
        "mark_source": False,
    }
    assert "qr_code" not in shown(wecom, way(scene=1))


def test_updating_overwrites_everything_but_the_code(wecom, way, chats):
    config_id = way(state="poster", remark="r", room_base_name="n")
    old = shown(wecom, config_id)["qr_code"]
    answer = wecom.contact(
        "groupchat/update_join_way", config_id=config_id, scene=2, chat_id_list=chats[:1], auto_create_room=0
    )
    assert code(answer) == 0
    found = shown(wecom, config_id)
    assert (found["qr_code"], found["chat_id_list"], found["auto_create_room"]) == (old, chats[:1], 0)
    assert found["remark"] == ""
    assert "state" not in found
    assert "room_base_name" not in found
    assert code(wecom.contact("groupchat/update_join_way", config_id=config_id, scene=2)) == 40063


def test_the_fields_are_checked(wecom, chats, control):
    def add(**body):
        return code(wecom.contact("groupchat/add_join_way", **body))

    good = {"scene": 2, "chat_id_list": chats}
    assert add(chat_id_list=chats) == 41038
    assert add(**good | {"scene": 3}) == 41040
    assert add(scene=2) == 40063
    assert add(**good, state="s" * 31) == 40058
    assert add(**good, room_base_name="n" * 41) == 40058
    assert add(**good, room_base_id=-1) == 40058
    assert add(**good, auto_create_room=2) == 40058
    assert add(scene=2, chat_id_list=["wrnone"]) == 40050
    six = [control.create_group("staff0001", [])["chat_id"] for _ in range(6)]
    assert add(scene=2, chat_id_list=six) == 41091
    assert add(scene=2, chat_id_list=six[:5]) == 0
    control.dismiss_group(six[0])
    assert add(scene=2, chat_id_list=six[:1]) == 49008


def test_unknown_and_deleted_ways(wecom, way):
    config_id = way()
    assert code(wecom.contact("groupchat/get_join_way")) == 41043
    assert code(wecom.contact("groupchat/get_join_way", config_id="0" * 32)) == 41044
    assert code(wecom.contact("groupchat/del_join_way", config_id=config_id)) == 0
    assert code(wecom.contact("groupchat/del_join_way", config_id=config_id)) == 41044


def test_join_ways_and_contact_ways_share_one_quota(wecom, way, chats, control):
    contact = {"type": 1, "scene": 2, "user": ["staff0001"]}
    control.set_limits(contact_ways=2)
    wecom.contact("add_contact_way", **contact, is_temp=True)
    way()
    assert code(wecom.contact("add_contact_way", **contact)) == 0
    assert code(wecom.contact("add_contact_way", **contact)) == 41045
    assert code(wecom.contact("groupchat/add_join_way", scene=2, chat_id_list=chats)) == 41045


def test_scanning_joins_the_first_group_with_room_and_calls_back(wecom, way, chats, control, inbox):
    config_id = way(state="poster")
    people = control.scan_group(config_id=config_id, count=2)
    assert [item["chat_id"] for item in people] == chats
    again = control.scan_group(state="poster", external_userid=people[0]["external_userid"])[0]
    assert (again["already"], again["callbacks"]) == (True, [])
    control.wait_callbacks()
    assert {(event["ChatId"], event["UpdateDetail"], event["JoinScene"]) for event in inbox.events()} == {
        (chat_id, "add_member", "3") for chat_id in chats
    }
    members = wecom.contact("groupchat/get", chat_id=chats[0])["group_chat"]["member_list"]
    assert (members[1]["state"], members[1]["join_scene"]) == ("poster", 3)
    assert code(wecom.get("externalcontact/get", external_userid=people[0]["external_userid"])) == 84061


def test_when_all_are_full_the_next_group_makes_itself(wecom, way, chats, control, inbox):
    config_id = way(room_base_name="福利群", room_base_id=7, state="poster")
    control.set_limits(group_capacity=2)
    people = control.scan_group(config_id=config_id, count=4)
    assert [item["created"] for item in people] == [False, False, True, True]
    assert [item["name"] for item in people[2:]] == ["福利群7", "福利群8"]
    control.wait_callbacks()
    kinds = [event["ChangeType"] for event in inbox.events()]
    assert (kinds.count("create"), kinds.count("update")) == (2, 4)
    fresh = wecom.contact("groupchat/get", chat_id=people[2]["chat_id"])["group_chat"]
    assert fresh["owner"] == "staff0001"
    assert [item.get("state") for item in fresh["member_list"]] == [None, "poster"]
    assert shown(wecom, config_id)["chat_id_list"] == [*chats, people[2]["chat_id"], people[3]["chat_id"]]
    control.set_limits(join_way_lists_new_groups=False)
    assert shown(wecom, config_id)["chat_id_list"] == chats


def test_a_full_way_without_new_groups_lets_nobody_in(way, chats, control):
    config_id = way(auto_create_room=0)
    control.scan_group(config_id=config_id, count=2)
    with pytest.raises(SandboxControlError, match="full"):
        control.scan_group(config_id=config_id)
    for chat_id in chats:
        control.dismiss_group(chat_id)
    with pytest.raises(SandboxControlError, match="no group"):
        control.scan_group(config_id=config_id)
    with pytest.raises(SandboxControlError, match="404"):
        control.scan_group(state="nothing")


# Entry welcome templates


LINK = {"title": "t", "url": "https://example.invalid"}


@pytest.fixture
def template(wecom):
    def make(**body):
        return wecom.contact("group_welcome_template/add", **body)

    return make


def test_a_template_is_made_read_edited_and_deleted(wecom, template, corp):
    template_id = template(text={"content": "%NICKNAME% 你好"}, link=LINK)["template_id"]
    assert template_id.startswith("msg")
    found = wecom.contact("group_welcome_template/get", template_id=template_id)
    assert (found["text"], found["link"]) == ({"content": "%NICKNAME% 你好"}, LINK)
    edit = {"template_id": template_id, "text": {"content": "new"}}
    assert code(wecom.contact("group_welcome_template/edit", **edit)) == 0
    found = wecom.contact("group_welcome_template/get", template_id=template_id)
    assert found["text"] == {"content": "new"}
    assert "link" not in found
    assert code(wecom.contact("group_welcome_template/del", template_id=template_id)) == 0
    assert code(wecom.contact("group_welcome_template/get", template_id=template_id)) == 40058


def test_only_the_first_kind_of_attachment_counts_and_pictures_become_addresses(wecom, template, corp):
    picture = wecom.upload("upload", b"\x89PNG\r\n\x1a\n123456", type="image")["media_id"]
    template_id = template(image={"media_id": picture}, link=LINK, video={"media_id": "x"})["template_id"]
    found = wecom.contact("group_welcome_template/get", template_id=template_id)
    assert set(found) == {"errcode", "errmsg", "image"}
    assert set(found["image"]) == {"pic_url"}


def test_template_fields_are_checked(wecom, template, corp, control):
    assert code(template()) == 40063
    assert code(template(text={"content": "字" * 1001})) == 40058
    assert code(template(image={"media_id": "x"})) == 40007
    assert code(template(link={"title": "t" * 129, "url": "u"})) == 40058
    assert code(template(text={"content": "hi"}, notify=3)) == 40058
    control.set_limits(welcome_templates=1)
    assert code(template(text={"content": "hi"})) == 0
    assert code(template(text={"content": "hi"})) == 41055


def test_another_app_may_read_but_not_change(template, corp, as_app):
    template_id = template(text={"content": "hi"})["template_id"]
    second = as_app("second")
    assert code(second.contact("group_welcome_template/get", template_id=template_id)) == 0
    body = {"template_id": template_id, "text": {"content": "mine"}}
    assert code(second.contact("group_welcome_template/edit", **body)) == 41058
    assert code(second.contact("group_welcome_template/del", template_id=template_id)) == 41058


def test_a_person_attaches_a_template_to_a_group(wecom, template, chats, control):
    template_id = template(text={"content": "hi"}, notify=0)["template_id"]
    control.attach_template(chats[0], template_id)
    truth = control.state("welcome_template", template_id)
    assert (truth["groups"], truth["notify"]) == ([chats[0]], False)
    control.attach_template(chats[0], None)
    assert control.state("welcome_template", template_id)["groups"] == []
    control.attach_template(chats[1], template_id)
    wecom.contact("group_welcome_template/del", template_id=template_id)
    assert control.state("group", chats[1])["template_id"] is None
    with pytest.raises(SandboxControlError, match="404"):
        control.attach_template(chats[0], template_id)
