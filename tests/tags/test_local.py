"""Tag groups that are kept here alone: held at once, never told to WeCom, and what a switch does either way."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from scrm.kernel.db import transaction
from scrm.kernel.errors import Conflict
from tags import jobs
from tags.catalog.service import editing, switching
from tags.catalog.service.switching import AtWecom, plan_switch, switch_group
from tags.models import AssignmentState as S
from tags.models import Push, Tag, TagGroup
from tags.rules.jobs import evaluate_rules
from tags.service import Wish, assign, overrule
from tests.scrm.wecom.conftest import carry_out
from tests.tags.test_api import send
from tests.tags.test_rules import backfill, make_rule
from tests.tags.test_wecom import corp, fetch_everything, follow_of, push, rows, see, states, want  # noqa: F401

LOCAL_GROUP = {"name": "内部", "push": "local", "tags": [{"name": "重点"}, {"name": "观察"}]}
APIS = ("mark_tag", "add_corp_tag", "edit_corp_tag", "del_corp_tag")


def told(corp):  # noqa: F811
    """Everything WeCom accepted about tags."""
    return [body for api in APIS for body in corp.accepted(f"externalcontact/{api}")]


def make_group(name="内部", tags=("重点", "观察"), push=Push.LOCAL):
    with transaction():
        editing.create_group(name, 0, [{"name": tag, "position": 0} for tag in tags], push)
    if push == Push.WECOM:
        carry_out("add_tag")
    return group_of(name)


def group_of(name, push=None):
    found = select(TagGroup).where(TagGroup.name == name, TagGroup.deleted_at.is_(None))
    return rows(found if push is None else found.where(TagGroup.push == push))[0]


def tags_of(group):
    return list(rows(select(Tag).where(Tag.group_id == group.id, Tag.deleted_at.is_(None)).order_by(Tag.id)))


def refusal(api, path, data):
    return send(api, "post", path, data, 422)["fields"]


def switch(group, push, at_wecom=None):
    with transaction():
        switch_group(group.id, push, at_wecom, plan_switch(group.id, push, at_wecom).confirm)
    jobs.switch_pushes.func()


def everything_there_is_to_tell():
    for kind in ("add_tag", "edit_tag", "delete_tag"):
        carry_out(kind)
    push()


def test_nothing_of_a_local_group_reaches_wecom_whoever_sets_its_tags(corp):  # noqa: F811
    group = make_group()
    key, watched = tags_of(group)
    person, other, _ = corp.people
    want(person, key, source="manual:a")
    want(other, watched, source="channel:1")
    with transaction():
        made = make_rule({"kind": "has_tag", "tag_ids": [key.id]}, watched)
        editing.edit_tag(key.id, {"name": "很重要"})
        editing.add_tags(group.id, [{"name": "新", "position": 0}])
        editing.edit_group(group.id, {"name": "内部用"})
    with transaction():
        backfill(made)
    evaluate_rules.func()
    assert states(person) == {key.id: S.ACTIVE, watched.id: S.ACTIVE}, "a rule reads and gives them"
    with transaction():
        overrule({(follow_of(other).id, watched.id)}, "manual:a")
        editing.delete_tag(tags_of(group)[2].id)
    everything_there_is_to_tell()
    assert states(other) == {watched.id: S.REMOVED}
    assert [tag.name for tag in tags_of(group)] == ["很重要", "观察"]
    assert told(corp) == []


def test_a_look_at_wecom_or_its_list_takes_no_local_tag_away(corp):  # noqa: F811
    group = make_group()
    want(corp.people[0], *tags_of(group))
    see(corp.people[0])
    fetch_everything()
    assert set(states(corp.people[0]).values()) == {S.ACTIVE}
    assert [tag.name for tag in tags_of(group_of("内部"))] == ["重点", "观察"]


def test_a_group_that_wecom_has_by_the_same_name_is_another_one_and_both_say_so(corp, api):  # noqa: F811
    local = make_group()
    jobs.wecom().post("externalcontact/add_corp_tag", {"group_name": "内部", "tag": [{"name": "重点"}]})
    fetch_everything()
    theirs = group_of("内部", Push.WECOM)
    assert theirs.id != local.id
    assert theirs.wecom_id
    shown = send(api, "get", f"/tag-groups/{local.id}")
    assert (shown["push"], shown["state"], shown["wecom_id"]) == ("local", "active", None)
    assert shown["namesake_id"] == theirs.id
    assert send(api, "get", f"/tag-groups/{theirs.id}")["namesake_id"] == local.id
    refused = send(api, "post", f"/tag-groups/{local.id}/push/preview", {"push": "wecom"}, 422)
    assert f"tag group {theirs.id}" in refused["fields"]["push"]


def test_to_wecom_the_group_its_tags_and_all_holders_are_told_in_that_order(corp):  # noqa: F811
    group = make_group()
    key, watched = tags_of(group)
    want(corp.people[0], key, watched)
    want(corp.people[1], key)
    plan = plan_switch(group.id, Push.WECOM, None)
    assert (plan.relations, plan.wecom_calls) == (2, 3)
    switch(group, Push.WECOM)
    see(corp.people[0])
    assert set(states(corp.people[0]).values()) == {S.PENDING_ADD}, "WeCom was not told yet"
    everything_there_is_to_tell()
    key, watched = tags_of(group_of("内部", Push.WECOM))
    assert corp.tags_of(corp.people[0]) == {key.wecom_id, watched.wecom_id}
    assert corp.tags_of(corp.people[1]) == {key.wecom_id}
    assert corp.tags_of(corp.people[2]) == set()
    assert set(states(corp.people[0]).values()) == {S.ACTIVE}
    assert len(corp.accepted("externalcontact/mark_tag")) == 2


@pytest.mark.parametrize("at_wecom", AtWecom)
def test_from_wecom_the_tags_there_stay_or_go_and_holders_hold_on(corp, at_wecom):  # noqa: F811
    group = make_group("等级", ("金", "银"), Push.WECOM)
    gold, silver = tags_of(group)
    want(corp.people[0], gold)
    push()
    want(corp.people[1], silver)
    known = gold.wecom_id
    switch(group, Push.LOCAL, at_wecom)
    everything_there_is_to_tell()
    fetch_everything()
    see(corp.people[0])
    assert (states(corp.people[0])[gold.id], states(corp.people[1])) == (S.ACTIVE, {silver.id: S.ACTIVE})
    want(corp.people[2], gold)
    push()
    assert len(corp.accepted("externalcontact/mark_tag")) == 1, "nobody was told after the switch"
    left = rows(select(TagGroup.wecom_id).where(TagGroup.name == "等级", TagGroup.deleted_at.is_(None)))
    if at_wecom == AtWecom.KEEP:
        assert corp.tags_of(corp.people[0]) == {known}
        assert sum(1 for each in left if each) == 1, "a group of WeCom's own"
    else:
        assert corp.tags_of(corp.people[0]) == set()
        assert left == [None]


def test_there_and_back_again_everybody_holds_what_they_held(corp):  # noqa: F811
    group = make_group()
    want(corp.people[0], *tags_of(group))
    for _ in range(2):
        switch(group_of("内部", Push.LOCAL), Push.WECOM)
        everything_there_is_to_tell()
        assert len(corp.tags_of(corp.people[0])) == 2
        switch(group_of("内部", Push.WECOM), Push.LOCAL, AtWecom.DELETE)
        everything_there_is_to_tell()
        see(corp.people[0])
        assert corp.tags_of(corp.people[0]) == set()
        assert states(corp.people[0]) == dict.fromkeys([tag.id for tag in tags_of(group)], S.ACTIVE)


def test_a_switch_needs_the_yes_to_its_numbers(api, session, world):
    made = send(api, "post", "/tag-groups", LOCAL_GROUP, 201)
    assert (made["push"], made["state"], made["tags"][0]["state"]) == ("local", "active", "active")
    assert world.effects("add_tag") == []
    follow = world.followed()
    with transaction():
        assign([Wish(follow.id, made["tags"][0]["id"], "manual:a", add=True)])
    path = f"/tag-groups/{made['id']}/push"
    preview = send(api, "post", f"{path}/preview", {"push": "wecom"})
    assert (preview["tags"], preview["relations"], preview["wecom_calls"]) == (2, 1, 2)
    assert "2个标签" in preview["words"]["zh"]
    refused = send(api, "post", path, {"push": "wecom"}, 409)
    assert refused["code"] == "tag-push-unconfirmed"
    assert refused["fields"]["confirm"] == preview["confirm"]
    done = send(api, "post", path, {"push": "wecom", "confirm": preview["confirm"]}, 202)
    assert (done["push"], done["switching"], done["state"]) == ("wecom", True, "pending")
    assert send(api, "post", f"/tag-groups/{made['id']}/tags", {"tags": [{"name": "x"}]}, 409)
    assert world.effects("add_tag") == [], "the holders first"
    switching.switch_slice()
    assert len(world.effects("add_tag")) == 1


def test_from_wecom_somebody_must_say_what_becomes_of_the_tags_there(api, world):
    tag = world.tag()
    path = f"/tag-groups/{world.group.id}/push"
    assert "keep" in refusal(api, f"{path}/preview", {"push": "local"})["at_wecom"]
    assert "already" in refusal(api, f"{path}/preview", {"push": "wecom"})["push"]
    kept = send(api, "post", f"{path}/preview", {"push": "local", "at_wecom": "keep"})
    gone = send(api, "post", f"{path}/preview", {"push": "local", "at_wecom": "delete"})
    assert (kept["wecom_calls"], gone["wecom_calls"]) == (0, 1)
    assert kept["confirm"] != gone["confirm"]
    send(api, "post", path, {"push": "local", "at_wecom": "delete", "confirm": kept["confirm"]}, 409)
    assert tag.wecom_id


def test_local_tags_are_beyond_wecoms_limit(api, session, world):
    fill = "INSERT INTO tags (group_id, name) SELECT :group, n::text FROM generate_series(1, :count) n"
    local = editing.create_group("满", 0, [], Push.LOCAL)
    session.execute(text(fill), {"group": local.id, "count": 5000})
    session.execute(text(fill), {"group": world.group.id, "count": 2999})
    assert (
        "3000" in refusal(api, "/tag-groups", {"name": "一", "tags": [{"name": "x"}, {"name": "y"}]})["tags"]
    )
    made = send(api, "post", "/tag-groups", LOCAL_GROUP, 201)
    refused = refusal(api, f"/tag-groups/{made['id']}/push/preview", {"push": "wecom"})["push"]
    assert "2999" in refused
    session.execute(
        text("UPDATE tags SET deleted_at = now() WHERE group_id = :id AND name = '1'"), {"id": world.group.id}
    )
    assert send(api, "post", f"/tag-groups/{made['id']}/push/preview", {"push": "wecom"})["tags"] == 2


def test_a_preview_of_a_rule_counts_no_call_for_local_tags(api, world):
    tag = world.tag()
    world.followed(name="vip")
    rule = {
        "condition": {"kind": "field_equals", "field": "customer.name", "value": "vip"},
        "add_tag_ids": [tag.id],
    }
    assert send(api, "post", "/rules/preview", rule)["wecom_calls"] == 1
    world.group.wecom_id, world.group.push = None, Push.LOCAL
    told = send(api, "post", "/rules/preview", rule)
    assert (told["would_add"], told["wecom_calls"], told["wecom_seconds"]) == (1, 0, 0)


def test_exclusive_local_tags_replace_each_other_at_once(world):
    gold, silver = world.tag(), world.tag()
    world.group.exclusive, world.group.wecom_id, world.group.push = True, None, Push.LOCAL
    gold.wecom_id = silver.wecom_id = None
    follow = world.followed()
    for tag in (gold, silver):
        with transaction():
            assign([Wish(follow.id, tag.id, "manual:a", add=True)])
    assert world.states(follow) == {gold.id: S.REMOVED, silver.id: S.ACTIVE}


def test_a_call_that_ends_after_the_switch_changes_nothing_here(corp):  # noqa: F811
    group = make_group("等级", ("金",), Push.WECOM)
    (gold,) = tags_of(group)
    corp.control.fault("errcode", api="externalcontact/mark_tag", errcode=40068)
    want(corp.people[0], gold)
    jobs.push_assignments.func()
    switch(group, Push.LOCAL, AtWecom.DELETE)
    with pytest.raises(Conflict, match="on their way"):  # its answer would be taken for that of the new tag
        plan_switch(group.id, Push.WECOM, None)
    carry_out("mark_tag")
    assert states(corp.people[0]) == {gold.id: S.ACTIVE}


def test_who_tags_while_the_group_is_switched_is_told_to_wecom_too(corp, app):  # noqa: F811
    group = make_group(tags=("重点",))
    (key,) = tags_of(group)

    def switch_in_another_thread():
        with app.app_context(), transaction():
            switch_group(group.id, Push.WECOM, None, plan_switch(group.id, Push.WECOM, None).confirm)

    follow = follow_of(corp.people[0])
    with ThreadPoolExecutor(1) as pool:
        with transaction():
            assign([Wish(follow.id, key.id, "manual:a", add=True)])
            waiting = pool.submit(switch_in_another_thread)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        waiting.result(timeout=60)
    jobs.switch_pushes.func()
    assert states(corp.people[0]) == {key.id: S.PENDING_ADD}
    everything_there_is_to_tell()
    assert corp.tags_of(corp.people[0]) == {tags_of(group_of("内部"))[0].wecom_id}


def test_a_switch_that_is_only_half_done_loses_nothing_to_a_look_at_wecom(corp):  # noqa: F811
    group = make_group(tags=("重点",))
    (key,) = tags_of(group)
    for person in corp.people:
        want(person, key)
    with transaction():
        switch_group(group.id, Push.WECOM, None, plan_switch(group.id, Push.WECOM, None).confirm)
    with transaction():
        assert switching.switch_slice(limit=2) == 2
    for person in corp.people:
        see(person)
    assert sorted(states(person)[key.id] for person in corp.people) == [
        S.ACTIVE,
        S.PENDING_ADD,
        S.PENDING_ADD,
    ]
    jobs.switch_pushes.func()
    everything_there_is_to_tell()
    assert all(len(corp.tags_of(person)) == 1 for person in corp.people)
