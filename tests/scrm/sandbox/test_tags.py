from __future__ import annotations

import pytest


def code(answer):
    return answer["errcode"]


def add(wecom, *names, **more):
    return wecom.contact("add_corp_tag", tag=[{"name": name} for name in names], **more)


@pytest.fixture
def level(wecom, corp):
    """A group made by the main app: (group_id, [tag ids])."""
    group = add(wecom, "gold", "silver", group_name="level")["tag_group"]
    return group["group_id"], [tag["id"] for tag in group["tag"]]


def test_a_full_listing_has_all_groups_without_deleted(wecom, corp, level):
    groups = wecom.contact("get_corp_tag_list")["tag_group"]
    assert len(groups) == 3
    assert all(item["tag"] for item in groups)
    assert "deleted" not in groups[0]


def test_a_listing_by_tag_id_wins_over_group_id_and_says_deleted(wecom, level):
    group_id, tags = level
    found = wecom.contact("get_corp_tag_list", tag_id=[tags[1]], group_id=["etother"])["tag_group"]
    assert [(item["group_id"], item["deleted"]) for item in found] == [(group_id, False)]
    assert [(tag["id"], tag["deleted"]) for tag in found[0]["tag"]] == [(tags[1], False)]
    by_group = wecom.contact("get_corp_tag_list", group_id=[group_id])["tag_group"]
    assert len(by_group[0]["tag"]) == 2


def test_an_existing_group_name_or_id_takes_the_new_tags(wecom, level):
    group_id, _ = level
    named = add(wecom, "bronze", group_name="level")["tag_group"]
    assert named["group_id"] == group_id
    assert [tag["name"] for tag in named["tag"]] == ["bronze"]
    by_id = add(wecom, "tin", group_id=group_id, group_name="ignored")["tag_group"]
    assert (by_id["group_id"], by_id["group_name"]) == (group_id, "level")


def test_same_names_in_one_request_collapse_and_existing_ones_clash(wecom, level):
    made = add(wecom, "a", "a", group_name="letters")["tag_group"]["tag"]
    assert [tag["name"] for tag in made] == ["a"]
    assert code(add(wecom, "a", group_name="letters")) == 40071


def test_add_corp_tag_checks_its_input(wecom, corp, control):
    assert code(add(wecom, "x" * 31, group_name="g")) == 40058
    assert code(add(wecom, "x", group_name="g" * 31)) == 40058
    assert code(add(wecom, "x")) == 40063
    assert code(add(wecom, group_name="g")) == 40063
    assert code(add(wecom, "x", group_id="etnone")) == 40068
    assert code(wecom.contact("add_corp_tag", group_name="g", tag=[{"name": "x", "order": 2**32}])) == 40058
    assert code(wecom.contact("add_corp_tag", group_name="g", tag=["x"])) == 40058
    control.set_limits(corp_tags=9)
    assert code(add(wecom, "x", "y", group_name="g")) == 40126
    assert code(add(wecom, "x", group_name="g")) == 0


def test_edit_renames_and_reorders_what_the_app_made(wecom, level, control):
    group_id, tags = level
    assert code(wecom.contact("edit_corp_tag", id=tags[0], name="platinum", order=9)) == 0
    assert code(wecom.contact("edit_corp_tag", id=group_id, name="rank")) == 0
    found = control.state("tag_group", group_id)
    assert found["name"] == "rank"
    assert found["tags"][tags[0]]["order"] == 9
    assert code(wecom.contact("edit_corp_tag", id=tags[0], name="silver")) == 40071
    assert code(wecom.contact("edit_corp_tag", id=tags[0], name="x" * 31)) == 40058
    assert code(wecom.contact("edit_corp_tag", id="etnone", name="x")) == 40068


def test_only_the_maker_and_the_system_app_may_edit_or_delete(wecom, level, corp, control, as_app):
    console_tag = control.state_ids("tag")[0]
    assert code(wecom.contact("edit_corp_tag", id=console_tag, name="x")) == 81011
    assert code(as_app("second").contact("del_corp_tag", tag_id=level[1])) == 81011
    assert code(as_app("system").contact("edit_corp_tag", id=console_tag, name="x")) == 0


def test_a_group_dies_with_its_last_tag(wecom, level, control):
    group_id, tags = level
    assert code(wecom.contact("del_corp_tag", tag_id=[tags[0]])) == 0
    assert group_id in control.state_ids("tag_group")
    assert code(wecom.contact("del_corp_tag", tag_id=[tags[1]])) == 0
    assert group_id not in control.state_ids("tag_group")
    assert code(wecom.contact("del_corp_tag", tag_id=[tags[1]])) == 40068
    assert code(wecom.contact("del_corp_tag")) == 40068


def test_deleting_a_group_takes_its_tags_off_everybody(wecom, level, friend, control):
    group_id, tags = level
    userid, external = friend
    wecom.contact("mark_tag", userid=userid, external_userid=external, add_tag=tags)
    assert code(wecom.contact("del_corp_tag", group_id=[group_id])) == 0
    assert control.state("customer", external)["follows"][0]["tags"] == []


def test_mark_tag_adds_removes_and_ignores_repeats(wecom, level, friend, control):
    userid, external = friend
    who = {"userid": userid, "external_userid": external}
    tags = level[1]
    assert code(wecom.contact("mark_tag", **who, add_tag=tags, remove_tag=[])) == 0
    assert code(wecom.contact("mark_tag", **who, add_tag=[tags[0]])) == 0
    assert control.state("customer", external)["follows"][0]["tags"] == tags
    assert code(wecom.contact("mark_tag", **who, remove_tag=[tags[0]])) == 0
    holders = control.state("tag", tags[1])["holders"]
    assert holders == [who]


def test_mark_tag_needs_a_relation_and_real_tags(wecom, level, friend, corp):
    userid, external = friend
    tags = level[1]
    other = next(item for item in corp["members"] if item != userid)
    assert code(wecom.contact("mark_tag", userid=other, external_userid=external, add_tag=tags)) == 84061
    assert code(wecom.contact("mark_tag", userid=userid, external_userid="wmno", add_tag=tags)) == 40096
    assert code(wecom.contact("mark_tag", userid="no", external_userid=external, add_tag=tags)) == 40003
    assert code(wecom.contact("mark_tag", userid=userid, external_userid=external, add_tag=["etno"])) == 40068
    assert code(wecom.contact("mark_tag", userid=userid, external_userid=external)) == 40068
    assert code(wecom.contact("mark_tag", external_userid=external, add_tag=tags)) == 41009
    assert code(wecom.contact("mark_tag", userid=userid, add_tag=tags)) == 41035


def test_tags_of_the_console_call_back(control, inbox, corp):
    made = control.create_tags("season", ["spring", "autumn"])
    control.edit_tag(made["tags"]["spring"], name="summer")
    control.shuffle_tags(made["group_id"])
    control.delete_tag(made["tags"]["spring"])
    control.delete_tag(made["group_id"])
    assert control.wait_callbacks()
    found = {(event["ChangeType"], event.get("TagType"), event["Id"]) for event in inbox.events()}
    group_id, spring, autumn = made["group_id"], made["tags"]["spring"], made["tags"]["autumn"]
    assert found == {
        ("create", "tag_group", group_id),
        ("create", "tag", spring),
        ("create", "tag", autumn),
        ("update", "tag", spring),
        ("shuffle", None, group_id),
        ("delete", "tag", spring),
        ("delete", "tag_group", group_id),
    }
