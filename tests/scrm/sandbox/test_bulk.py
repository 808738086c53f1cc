from __future__ import annotations

import pytest


def code(answer):
    return answer["errcode"]


@pytest.fixture
def bulk(control):
    """6 members with 250 computed customers each, every fifth of them followed by the next member too."""
    return control.bulk(6, 250, second_follow_share=0.2, groups_per_member=3, group_size=5)


def read_all(wecom, userids, limit=100):
    """Everything batch/get_by_user tells, as {(userid, external_userid): row}; pages must not overlap."""
    found, cursor = {}, ""
    while True:
        page = wecom.contact("batch/get_by_user", userid_list=userids, limit=limit, cursor=cursor)
        assert code(page) == 0
        for row in page["external_contact_list"]:
            key = (row["follow_info"]["userid"], row["external_contact"]["external_userid"])
            assert key not in found
            found[key] = row
        cursor = page["next_cursor"]
        if not cursor:
            return found
        assert len(page["external_contact_list"]) == limit


def differing(before, after):
    return {key for key in before.keys() & after.keys() if before[key] != after[key]}


def test_pages_hold_every_relation_once(wecom, bulk, control):
    counts = control.bulk_counts()
    assert counts["customers"] == 1500
    assert 1500 < counts["relations"] < 1900
    assert len(read_all(wecom, bulk["members"])) == counts["relations"]
    assert len(read_all(wecom, bulk["members"], limit=37)) == counts["relations"]
    assert control.overview()["customers"] == 1500
    tags = {tag for row in read_all(wecom, bulk["members"]).values() for tag in row["follow_info"]["tag_id"]}
    assert tags <= set(control.state_ids("tag"))
    assert tags


def test_list_get_and_batch_tell_the_same(wecom, bulk):
    rows = read_all(wecom, bulk["members"][:1])
    listed = wecom.get("externalcontact/list", userid=bulk["members"][0])["external_userid"]
    assert [key[1] for key in rows] == listed
    for (userid, external), row in list(rows.items())[::25]:
        told = wecom.get("externalcontact/get", external_userid=external)
        assert told["external_contact"] == row["external_contact"]
        follow = next(item for item in told["follow_user"] if item["userid"] == userid)
        info = dict(row["follow_info"])
        assert [tag["tag_id"] for tag in follow.pop("tags")] == info.pop("tag_id")
        assert follow == info
    assert code(wecom.get("externalcontact/get", external_userid="wm" + "0" * 30)) == 40096


def test_the_same_seed_computes_the_same_people(wecom, bulk, control):
    before = read_all(wecom, bulk["members"][:1])
    control.reset(seed=7)
    wecom.login()
    again = control.bulk(6, 250, second_follow_share=0.2, groups_per_member=3, group_size=5)
    after = read_all(wecom, again["members"][:1])
    assert list(before) == list(after)
    assert [row["external_contact"] for row in before.values()] == [
        row["external_contact"] for row in after.values()
    ]


@pytest.mark.parametrize("what", ["remark", "tags"])
def test_an_altered_share_is_exactly_what_the_next_reading_finds_different(wecom, bulk, control, what):
    before = read_all(wecom, bulk["members"])
    told = control.alter_bulk(what, 0.05)
    after = read_all(wecom, bulk["members"])
    different = differing(before, after)
    assert 0 < told["changed"] == len(different) < len(before) / 10
    assert before.keys() == after.keys()
    assert {external for _, external in different} >= set(told["sample"])


def test_an_altered_name_shows_in_every_relation_of_the_customer(wecom, bulk, control):
    before = read_all(wecom, bulk["members"])
    told = control.alter_bulk("name", 0.05)
    after = read_all(wecom, bulk["members"])
    renamed = {external for _, external in differing(before, after)}
    assert len(renamed) == told["changed"] > 0
    assert all((key[1] in renamed) == (before[key] != after[key]) for key in before)


def test_dropped_relations_are_gone_everywhere(wecom, bulk, control):
    before = read_all(wecom, bulk["members"])
    told = control.alter_bulk("gone", 0.05)
    after = read_all(wecom, bulk["members"])
    gone = before.keys() - after.keys()
    assert after.keys() <= before.keys()
    assert len(gone) == told["changed"] > 0
    assert control.bulk_counts()["relations"] == len(after)
    alone = [external for _, external in gone if not any(external == left for _, left in after)]
    assert code(wecom.get("externalcontact/get", external_userid=alone[0])) == 84061
    userid = next(iter(gone))[0]
    listed = wecom.get("externalcontact/list", userid=userid)["external_userid"]
    assert listed == [external for member, external in after if member == userid]


def test_calls_about_a_failing_member_fail_and_work_again(wecom, bulk, control):
    first, second = bulk["members"][:2]
    for errcode in (60111, 60020, -1):
        control.fail_members([first], errcode)
        assert code(wecom.contact("batch/get_by_user", userid_list=[first])) == errcode
        assert code(wecom.contact("batch/get_by_user", userid_list=[second, first])) == errcode
        assert code(wecom.get("externalcontact/list", userid=first)) == errcode
        assert code(wecom.contact("batch/get_by_user", userid_list=[second])) == 0
    control.fail_members([first], 0)
    assert code(wecom.contact("batch/get_by_user", userid_list=[first])) == 0


def test_a_customer_acted_on_becomes_ordinary_and_stays_in_the_pages(wecom, bulk, control, inbox):
    before = read_all(wecom, bulk["members"])
    (userid, external), row = next(iter(before.items()))
    control.edit(userid, external, remark="VIP")
    tag = control.state_ids("tag")[0]
    assert code(wecom.contact("mark_tag", userid=userid, external_userid=external, add_tag=[tag])) == 0
    after = read_all(wecom, bulk["members"])
    assert after.keys() == before.keys()
    assert after[userid, external]["follow_info"]["remark"] == "VIP"
    assert tag in after[userid, external]["follow_info"]["tag_id"]
    assert after[userid, external]["external_contact"] == row["external_contact"]
    assert control.bulk_counts()["stored"] == 1
    newcomer = control.add(userid)[0]["external_userid"]
    assert read_all(wecom, bulk["members"]).keys() == before.keys() | {(userid, newcomer)}
    control.delete_contact(userid, external)
    assert (userid, external) not in read_all(wecom, bulk["members"])


def test_traffic_acts_on_computed_customers_too(wecom, bulk, control, inbox):
    before = read_all(wecom, bulk["members"])
    control.wait_traffic(control.start_traffic(count=30, rate=1000, mix={"edit": 1})["id"])
    after = read_all(wecom, bulk["members"])
    assert after.keys() == before.keys()
    assert 15 < len(differing(before, after)) <= 30


def test_customers_of_a_member_who_leaves_are_unassigned(wecom, bulk, control):
    userid = bulk["members"][0]
    theirs = set(wecom.get("externalcontact/list", userid=userid)["external_userid"])
    control.delete_staff(userid)
    info = wecom.contact("get_unassigned_list")["info"]
    assert {item["external_userid"] for item in info} == theirs
    told = wecom.get("externalcontact/get", external_userid=next(iter(theirs)))
    assert userid in [item["userid"] for item in told["follow_user"]]


def test_a_deleted_tag_disappears_from_everybody(wecom, bulk, control):
    tag = control.state_ids("tag")[0]
    before = read_all(wecom, bulk["members"])
    assert any(tag in row["follow_info"]["tag_id"] for row in before.values())
    control.delete_tag(tag)
    after = read_all(wecom, bulk["members"])
    assert not any(tag in row["follow_info"]["tag_id"] for row in after.values())


def test_groups_are_computed_too(wecom, bulk, control):
    def chats(**more):
        found, cursor = [], ""
        while True:
            page = wecom.contact("groupchat/list", limit=4, cursor=cursor, **more)
            found += [item["chat_id"] for item in page["group_chat_list"]]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    stored = control.create_group(bulk["members"][0])["chat_id"]
    everything = chats()
    assert len(everything) == len(set(everything)) == 19
    assert stored in everything
    mine = chats(owner_filter={"userid_list": bulk["members"][1:2]})
    assert len(mine) == 3
    shown = wecom.contact("groupchat/get", chat_id=mine[0], need_name=1)["group_chat"]
    assert (shown["owner"], len(shown["member_list"])) == (bulk["members"][1], 6)
    assert all(item["name"] for item in shown["member_list"])
    told = control.alter_bulk("group_gone", 0.3)
    assert len(chats()) == 19 - told["changed"]
    renamed = control.alter_bulk("group_name", 1)
    assert renamed["changed"] == len(chats()) - 1
    left = [chat_id for chat_id in chats() if chat_id != stored]
    name = wecom.contact("groupchat/get", chat_id=left[0])["group_chat"]["name"]
    assert name.endswith("·")
    newcomer = control.add(bulk["members"][2])[0]["external_userid"]
    control.join_group(left[0], [newcomer], state="st")
    members = wecom.contact("groupchat/get", chat_id=left[0])["group_chat"]["member_list"]
    assert members[-1]["state"] == "st"
    assert sorted(chats()) == sorted([stored, *left])
    assert code(wecom.contact("groupchat/get", chat_id="wr" + "0" * 30)) == 40050


def test_a_computed_corp_outlives_a_restart(tmp_path):
    from scrm.sandbox.app import create_sandbox
    from scrm.sandbox.config import SandboxConfig
    from scrm.sandbox.people import bulk_life
    from scrm.sandbox.people.population import Plan
    from scrm.sandbox.state_file import save

    path = tmp_path / "state"
    first = create_sandbox(SandboxConfig()).extensions["sandbox"]
    shares = {"second_follow_share": 0.1, "tag_share": 0.5, "state_share": 0.3}
    sizes = {"customers_per_member": 50, "groups_per_member": 1, "group_size": 5, "states": 2}
    bulk_life.make(first.world, Plan(members=3), shares, sizes)
    external = first.world.bulk.customer_id(7)
    assert external in first.world.customers
    bulk_life.alter(first.world, "gone", 0.1)
    save(first, path)
    assert path.stat().st_size < 50_000
    second = create_sandbox(SandboxConfig(), path).extensions["sandbox"]
    assert bulk_life.count(second.world.bulk) == bulk_life.count(first.world.bulk)
    assert second.world.customers[external].follows[0].userid in second.world.members
    for sandbox in (first, second):
        sandbox.stop()
