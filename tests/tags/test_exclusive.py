"""Exclusive tag groups: one of a group stays, the others step back and come back."""

import pytest
from sqlalchemy import select, update

from scrm.customers.events import FollowTagsSeen
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput
from tags import jobs
from tags.models import AssignmentState as S
from tags.models import Preference, Rule, Tag, TagGroup, TagHistory
from tags.rules.service import saving
from tags.service import Wish, assign, overrule
from tags.sync.service.sightings import reconcile
from tags.tagging.service.settling import settle_slice, want_settling
from tests.tags.cases import timedelta
from tests.tags.test_api import problem, send
from tests.tags.test_rules import backfill, evaluate, make_rule, rename

NAME = {"kind": "field_equals", "field": "customer.name"}
VIP, ANYBODY = {**NAME, "value": "vip"}, {"not": {**NAME, "value": "nobody"}}
BY = "manual:a"


@pytest.fixture
def level(world):
    """An exclusive group with its tags gold, silver, bronze."""
    world.group.exclusive = True
    return [world.tag(name) for name in ("gold", "silver", "bronze")]


def want(follow, tag, source=BY, add=True):
    with transaction():
        assign([Wish(follow.id, tag.id, source, add=add)])


def held(world, follow):
    return [tag_id for tag_id, state in world.states(follow).items() if state in {S.ACTIVE, S.PENDING_ADD}]


def lines(session, follow):
    rows = select(TagHistory.tag_id, TagHistory.change, TagHistory.source, TagHistory.by)
    return [
        tuple(row)
        for row in session.execute(rows.where(TagHistory.follow_id == follow.id).order_by(TagHistory.id))
    ]


def test_of_two_tags_set_by_hand_the_newest_stays_and_history_names_it(world, session, level):
    follow, (gold, silver, _) = world.followed(), level
    want(follow, gold)
    with shifted(timedelta(minutes=1)):
        want(follow, silver, "manual:b")
    assert world.states(follow) == {gold.id: S.REMOVED, silver.id: S.PENDING_ADD}
    assert world.sources(follow, gold) == []
    assert lines(session, follow)[-1] == (gold.id, "removed", BY, f"tag:{silver.id}")


def test_tags_of_another_group_or_relation_are_no_rivals(world, session, level):
    follow, other = world.followed(), world.followed()
    session.add(group := TagGroup(name="free", wecom_id="etFree"))
    session.flush()
    session.add(free := Tag(group_id=group.id, name="x", wecom_id="etx"))
    session.flush()
    for tag, on in ((level[0], follow), (free, follow), (level[1], other)):
        want(on, tag)
    assert sorted(held(world, follow)) == sorted([level[0].id, free.id])
    assert held(world, other) == [level[1].id]


def test_between_rules_the_priority_decides_and_the_other_tag_comes_back(world, session, level):
    follow, (gold, silver, _) = world.followed(name="x"), level
    make_rule(VIP, gold, priority=2)
    backfill(make_rule(ANYBODY, silver, priority=1))
    assert held(world, follow) == [silver.id]
    rename(follow.customer_id, "vip")
    evaluate()
    assert held(world, follow) == [gold.id]
    assert len(world.sources(follow, silver)) == 1, "the weaker rule still wants it"
    rename(follow.customer_id, "x")
    evaluate()
    assert held(world, follow) == [silver.id]
    changes = [(tag_id, change) for tag_id, change, *_ in lines(session, follow)]
    assert changes == [
        (silver.id, "added"), (gold.id, "added"), (silver.id, "outranked"), (gold.id, "removed"), (silver.id, "returned"),
    ]  # fmt: skip


def test_a_persons_tag_goes_before_rules_and_taking_it_away_brings_the_rules_back(world, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold))
    want(follow, silver)
    assert held(world, follow) == [silver.id]
    rename(follow.customer_id, "y")
    rename(follow.customer_id, "vip")
    evaluate()
    assert held(world, follow) == [silver.id]
    with transaction():
        overrule([(follow.id, silver.id)], BY)
    assert held(world, follow) == [gold.id]


def test_a_group_may_prefer_rules(world, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    world.group.prefers = Preference.RULES
    want(follow, silver)
    backfill(make_rule(VIP, gold))
    assert held(world, follow) == [gold.id]
    want(follow, silver)
    assert held(world, follow) == [gold.id]
    assert world.sources(follow, silver) == []


def test_undoing_a_run_gives_the_persons_tag_back_that_a_rule_replaced(world, session, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    world.group.prefers = Preference.RULES
    want(follow, silver)
    run = backfill(rule := make_rule(VIP, gold))
    with transaction():
        saving.start_undo(rule.id, run.id, "a")
    from tags.rules.jobs import backfill_rules

    backfill_rules.func()
    assert held(world, follow) == [silver.id]
    assert world.sources(follow, silver) == [BY]


def test_a_tag_that_a_person_took_away_does_not_come_back_as_a_rival(world, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold))
    with transaction():
        overrule([(follow.id, gold.id)], BY)
    want(follow, silver)
    with transaction():
        overrule([(follow.id, silver.id)], BY)
    assert held(world, follow) == []


def test_a_person_can_take_away_a_tag_that_only_waits_for_its_turn(world, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold))
    want(follow, silver)
    with transaction():
        overrule([(follow.id, gold.id), (follow.id, silver.id)], BY)
    assert held(world, follow) == []


def test_what_wecom_shows_second_replaces_the_first_and_is_told_to_wecom(world, level):
    follow, (gold, silver, _) = world.followed(), level
    for tag, minutes in ((gold, 1), (silver, 2)):
        world.long_ago()
        with shifted(timedelta(minutes=minutes)), transaction():
            shown = (gold.wecom_id, tag.wecom_id)
            reconcile([FollowTagsSeen(follow.id, follow.customer_id, shown, utcnow())])
    assert world.states(follow) == {gold.id: S.PENDING_REMOVE, silver.id: S.ACTIVE}


def test_making_a_group_exclusive_settles_what_is_there_and_back(api, world, session):
    gold, silver = world.tag("gold"), world.tag("silver")
    follows = [world.followed(name="vip") for _ in range(3)]
    backfill(make_rule(VIP, gold, priority=2))
    backfill(make_rule(VIP, silver, priority=1))
    path = f"/tag-groups/{world.group.id}"
    assert send(api, "patch", path, {"exclusive": True})["settling"] is True
    jobs.settle_exclusive_groups.func()
    assert send(api, "get", path)["settling"] is False
    assert [held(world, follow) for follow in follows] == [[gold.id]] * 3
    send(api, "patch", path, {"exclusive": False})
    jobs.settle_exclusive_groups.func()
    assert all(sorted(held(world, follow)) == sorted([gold.id, silver.id]) for follow in follows)


def test_settling_takes_no_longer_where_numbers_were_left_out(world, session, monkeypatch):
    far = world.follow(world.customer(name="vip"), world.staff(), id=10**12)
    gold, silver = world.tag("gold"), world.tag("silver")
    backfill(make_rule(VIP, gold, priority=2))
    backfill(make_rule(VIP, silver, priority=1))
    world.group.exclusive = True
    with transaction():
        want_settling([world.group.id])
    for _ in range(3):
        settle_slice()
    assert held(world, far) == [gold.id]
    assert settle_slice() == 0


def test_another_priority_turns_the_order_round(world, session, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold, priority=2))
    backfill(weaker := make_rule(VIP, silver, priority=1))
    assert held(world, follow) == [gold.id]
    with transaction():
        saving.change_rule(weaker.id, {"priority": 3}, "test")
    jobs.settle_exclusive_groups.func()
    assert held(world, follow) == [silver.id]


def test_rules_without_an_order_between_them_are_named_when_one_becomes_active(api, world, session, level):
    gold, silver, bronze = level
    first = make_rule(VIP, gold, name="A")
    draft = {"name": "B", "condition": VIP, "add_tag_ids": [silver.id]}
    second = send(api, "post", "/rules", draft, 201)["id"]
    field, what = problem(api, "patch", f"/rules/{second}", {"state": "active"})
    assert field == "priority"
    assert f"rule {first.id} (A) gives gold and this rule (B) gives silver" in what
    assert send(api, "patch", f"/rules/{second}", {"state": "active", "priority": 1})["priority"] == 1
    field, what = problem(api, "post", "/rules", {**draft, "add_tag_ids": [silver.id, bronze.id]})
    assert field == "add_tag_ids"
    assert "silver and bronze" in what
    session.execute(update(Rule).values(priority=0))
    session.execute(update(TagGroup).values(exclusive=False))
    field, what = problem(api, "patch", f"/tag-groups/{world.group.id}", {"exclusive": True})
    assert field == "exclusive"
    assert "priority 0" in what


def test_the_same_tag_from_two_rules_is_no_conflict(world, level):
    make_rule(VIP, level[0])
    make_rule(ANYBODY, level[0])
    with pytest.raises(InvalidInput, match="silver"):
        make_rule(ANYBODY, level[1])


def test_by_hand_two_tags_of_a_group_at_once_are_refused(api, world, level):
    follow = world.followed()
    body = {"add": [level[0].id, level[1].id]}
    assert "exclude each other" in problem(api, "post", f"/customers/{follow.customer_id}/tags", body)[1]


def test_when_the_tag_that_stood_before_others_is_deleted_the_next_returns_at_once(world, session, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold, priority=2))
    backfill(make_rule(VIP, silver, priority=1))
    assert held(world, follow) == [gold.id]
    gold.deleted_at = utcnow()
    session.flush()
    jobs.drop_deleted_tags.func()
    assert held(world, follow) == [silver.id]
    assert ("returned", silver.id) in {(line[1], line[0]) for line in lines(session, follow)}


def test_a_tag_that_only_stepped_back_never_returns_once_it_is_deleted(world, session, level):
    follow, (gold, silver, _) = world.followed(name="vip"), level
    backfill(make_rule(VIP, gold, priority=2))
    backfill(make_rule(VIP, silver, priority=1))
    silver.deleted_at = utcnow()
    session.flush()
    jobs.drop_deleted_tags.func()
    rename(follow.customer_id, "x")
    evaluate()
    assert held(world, follow) == []
    assert world.sources(follow, silver) == []
