"""Rules: saving, incremental evaluation, backfill, undo, preview, explanation."""

import pytest
from sqlalchemy import select, update

from scrm.alerts.models import AlertEntry
from scrm.conversations.events import MessageLinked, MessageStored
from scrm.conversations.models import Channel, Direction
from scrm.customers.events import (
    CustomerChanged,
    CustomersFound,
    FollowAdded,
    FollowChanged,
    FollowLost,
    LostBy,
)
from scrm.customers.models import Customer
from scrm.groups.events import GroupJoined, GroupLeft
from scrm.kernel import events
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput
from tags.events import TagsChanged
from tags.models import AssignmentState as S
from tags.models import RuleChange, RuleDue, RuleState, RuleVersion, TagHistory
from tags.rules import jobs
from tags.rules.conditions import said_keyword
from tags.rules.leaves import Leaf, leaves
from tags.rules.service import saving
from tags.service import Wish, assign
from tests.tags.cases import group, say, timedelta

VIP = {"kind": "field_equals", "field": "customer.name", "value": "vip"}
RING = {"kind": "in_group"}


def has(*tags):
    return {"kind": "has_tag", "tag_ids": [tag.id for tag in tags]}


def make_rule(condition, *tags, **more):
    data = {"name": "r", "state": RuleState.ACTIVE, "remove_tag_ids": [], "keep": False, **more}
    with transaction():
        return saving.create_rule(
            {**data, "condition": condition, "add_tag_ids": [tag.id for tag in tags]}, "test"
        )


def rename(customer_id, name):
    with transaction() as session:
        session.execute(update(Customer).where(Customer.id == customer_id).values(name=name))
        events.publish(CustomerChanged(customer_id, ("name",)))


def evaluate():
    jobs.evaluate_rules.func()


def backfill(rule):
    with transaction():
        run = saving.start_backfill(rule.id)
    jobs.backfill_rules.func()
    return run


def due(session):
    return session.scalars(select(RuleDue.customer_id).order_by(RuleDue.id)).all()


def test_a_rule_tags_and_untags_as_the_customer_changes(world, session):
    follow, tag = world.followed(name="x"), world.tag()
    rule = make_rule(VIP, tag)
    rename(follow.customer_id, "vip")
    evaluate()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert world.sources(follow, tag) == [f"rule:{rule.id}"]
    assert due(session) == []
    rename(follow.customer_id, "y")
    evaluate()
    assert world.states(follow) == {tag.id: S.REMOVED}


def test_facts_no_rule_reads_leave_no_work(world, session):
    follow, tag = world.followed(), world.tag()
    make_rule(RING, tag)
    rename(follow.customer_id, "vip")
    assert due(session) == []


def test_every_happening_that_a_rule_may_read_wakes_it(world, session):
    customer = world.followed().customer_id
    now, tag, other = utcnow(), world.tag(), world.tag()
    said = {"kind": "said_keyword", "keywords": ["x"]}
    make_rule({"any": [VIP, RING, said, {"kind": "in_group", "group_ids": [group().id]}, has(tag)]}, other)
    happenings = [
        CustomersFound((customer,)), FollowAdded(1, customer, 1, now), FollowLost(1, customer, 1, LostBy.CUSTOMER, now),
        FollowChanged(1, customer, 1), CustomerChanged(customer, ("name",)), GroupJoined(1, 1, customer, now),
        GroupLeft(1, 1, customer, now), MessageStored(1, now, Channel.KF, Direction.IN, customer, None),
        MessageLinked(1, now, Channel.KF, Direction.IN, customer, None),
        TagsChanged(customer, (tag.id,), (), "manual:a"),
    ]  # fmt: skip
    for number, happening in enumerate(happenings, 1):
        with transaction():
            events.publish(happening)
        assert len(due(session)) == number, happening
    silent = [
        CustomerChanged(customer, ("avatar",)), GroupJoined(1, 1, None, now), TagsChanged(customer, (other.id,), (), "x:1"),
        MessageStored(1, now, Channel.KF, Direction.OUT, customer, None),
    ]  # fmt: skip
    with transaction():
        events.publish(*silent)
    assert len(due(session)) == len(happenings)


def test_a_paused_or_draft_rule_does_nothing(world, session):
    follow, tag = world.followed(), world.tag()
    make_rule(VIP, tag, state=RuleState.PAUSED)
    make_rule(VIP, tag, state=RuleState.DRAFT)
    rename(follow.customer_id, "vip")
    assert due(session) == []


def test_every_present_relation_gets_the_tag_and_a_new_one_gets_it_when_it_comes(world):
    tag = world.tag()
    follow = world.followed(name="x")
    customer = Customer(id=follow.customer_id)
    half = world.follow(customer, world.staff(), added_at=None, half_added_at=utcnow())
    lost = world.follow(customer, world.staff(), deleted_by_customer_at=utcnow())
    make_rule(VIP, tag)
    rename(customer.id, "vip")
    evaluate()
    assert [world.states(f) for f in (follow, half, lost)] == [{tag.id: S.PENDING_ADD}] * 2 + [{}]
    new = world.follow(customer, world.staff())
    with transaction():
        events.publish(FollowAdded(new.id, customer.id, new.staff_id, utcnow()))
    evaluate()
    assert world.states(new) == {tag.id: S.PENDING_ADD}


def test_a_rule_never_touches_a_manual_tag(world):
    follow, tag = world.followed(name="x"), world.tag()
    make_rule(VIP, tag)
    with transaction():
        assign([Wish(follow.id, tag.id, "manual:apikey:1", add=True)])
    rename(follow.customer_id, "vip")
    evaluate()
    rename(follow.customer_id, "x")
    evaluate()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert world.sources(follow, tag) == ["manual:apikey:1"]


def test_a_rule_that_keeps_does_not_take_its_tag_away(world):
    follow, tag = world.followed(name="x"), world.tag()
    make_rule(VIP, tag, keep=True)
    rename(follow.customer_id, "vip")
    evaluate()
    rename(follow.customer_id, "x")
    evaluate()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_a_rule_takes_away_what_it_set_itself_and_nothing_else(world):
    follow, mine, manual = world.followed(name="vip"), world.tag(), world.tag()
    rule = make_rule(VIP, mine, keep=True)
    backfill(rule)
    with transaction():
        assign([Wish(follow.id, manual.id, "manual:a", add=True)])
        change = {"condition": VIP, "add_tag_ids": [], "remove_tag_ids": [mine.id, manual.id], "keep": True}
        saving.change_rule(rule.id, change, "test")
    backfill(rule)
    assert world.states(follow) == {mine.id: S.REMOVED, manual.id: S.PENDING_ADD}


def test_rules_feed_each_other_without_waking_themselves(world, session):
    follow, first, second = world.followed(name="x"), world.tag(), world.tag()
    make_rule(VIP, first)
    make_rule(has(first), second)
    rename(follow.customer_id, "vip")
    evaluate()
    assert world.states(follow) == {first.id: S.PENDING_ADD, second.id: S.PENDING_ADD}
    assert due(session) == []


def test_a_rule_is_not_woken_by_its_own_tag(world, session):
    follow, tag = world.followed(name="x"), world.tag()
    rule = make_rule({"all": [VIP, {"kind": "has_not_tag", "tag_ids": [tag.id]}]}, tag, keep=True)
    with transaction():
        assign([Wish(follow.id, tag.id, f"rule:{rule.id}", add=True)])
    assert due(session) == []
    with transaction():
        assign(
            [
                Wish(follow.id, tag.id, f"rule:{rule.id}", add=False),
                Wish(follow.id, tag.id, "manual:a", add=True),
            ]
        )
        assign([Wish(follow.id, tag.id, "manual:a", add=False)])
    assert due(session) == [follow.customer_id], "somebody else's change does wake it"


def test_a_relation_that_the_member_ended_loses_its_rule_tags(world):
    follow, tag = world.followed(name="vip"), world.tag()
    backfill(make_rule(VIP, tag))
    follow.deleted_by_staff_at = utcnow()
    with transaction():
        events.publish(FollowLost(follow.id, follow.customer_id, follow.staff_id, LostBy.STAFF, utcnow()))
    evaluate()
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert world.sources(follow, tag) == []


def test_time_alone_changes_the_answer(world):
    follow, tag = world.followed(), world.tag()
    say(follow, "x")
    backfill(make_rule({"kind": "added_within_days", "days": 2}, tag))
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    with shifted(timedelta(hours=2)):
        assert jobs.sweep_time_rules.due()
        jobs.sweep_time_rules.func()
        evaluate()
        assert world.states(follow) == {tag.id: S.PENDING_ADD}
        assert not jobs.sweep_time_rules.due()
    with shifted(timedelta(days=1, hours=1)):
        jobs.sweep_time_rules.func()
        evaluate()
    assert world.states(follow) == {tag.id: S.REMOVED}


def test_only_customers_whose_answer_can_have_changed_are_swept(world, session):
    tag = world.tag()
    edge = world.followed()  # added a day ago
    world.follow(world.customer(), world.staff(), added_at=utcnow() - timedelta(hours=5))
    world.follow(world.customer(), world.staff(), added_at=utcnow() - timedelta(days=9))
    make_rule({"kind": "added_within_days", "days": 2}, tag)
    with shifted(timedelta(days=1, hours=1)):
        jobs.sweep_time_rules.func()
    assert due(session) == [edge.customer_id]


def test_a_backfill_reports_what_it_saw_and_changed(world, session, monkeypatch):
    tag = world.tag()
    vips = [world.followed(name="vip") for _ in range(5)]
    world.followed(name="x")
    rule = make_rule(VIP, tag)
    run = backfill(rule)
    session.refresh(run)
    assert (run.state, run.seen, run.added, run.removed) == ("done", 6, 5, 0)
    assert all(world.states(follow) == {tag.id: S.PENDING_ADD} for follow in vips)
    again = backfill(rule)
    session.refresh(again)
    assert (again.added, again.removed) == (0, 0)


def test_a_backfill_goes_on_where_it_stopped(world, session):
    from tags.rules.service.working import advance_run

    tag = world.tag()
    follows = [world.followed(name="vip") for _ in range(5)]
    rule = make_rule(VIP, tag)
    with transaction():
        run = saving.start_backfill(rule.id)
    with transaction():
        assert advance_run(run.id, limit=2)
    session.refresh(run)
    assert (run.state, run.seen, run.cursor) == ("running", 2, follows[1].customer_id)
    jobs.backfill_rules.func()
    session.refresh(run)
    assert (run.state, run.seen, run.added) == ("done", 5, 5)


def test_a_backfill_of_a_rule_that_changed_meanwhile_stops(world, session):
    tag, other = world.tag(), world.tag()
    rule = make_rule(VIP, tag)
    with transaction():
        run = saving.start_backfill(rule.id)
        saving.change_rule(rule.id, {"add_tag_ids": [other.id]}, "test")
    jobs.backfill_rules.func()
    session.refresh(run)
    assert run.state == "failed"
    assert "version 2" in run.error


def changes(session, rule):
    found = select(RuleChange.by, RuleChange.changes).where(RuleChange.rule_id == rule.id)
    return [tuple(row) for row in session.execute(found)]


def test_undo_restores_what_the_run_changed(world, session):
    follow, manual_too, tag = world.followed(name="vip"), world.followed(name="vip"), world.tag()
    with transaction():
        assign([Wish(manual_too.id, tag.id, "manual:a", add=True)])
    rule = make_rule(VIP, tag)
    run = backfill(rule)
    with transaction():
        saving.start_undo(rule.id, run.id, "a")
    jobs.backfill_rules.func()
    session.refresh(run)
    session.refresh(rule)
    assert run.state == "undone"
    assert (rule.state, rule.error) == (RuleState.PAUSED, f"paused by the undo of run {run.id}")
    assert changes(session, rule) == [("a", {"state": ["active", "paused"]})]
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert world.sources(manual_too, tag) == ["manual:a"]
    assert world.states(manual_too) == {tag.id: S.PENDING_ADD}


def test_undo_gives_back_what_the_run_took_away_and_spares_what_changed_since(world, session):
    kept, changed, tag = world.followed(name="vip"), world.followed(name="vip"), world.tag()
    rule = make_rule(VIP, tag)
    first = backfill(rule)
    rename(changed.customer_id, "x")
    evaluate()
    rename(changed.customer_id, "vip")
    evaluate()
    with transaction():
        saving.start_undo(rule.id, first.id, "a")
    jobs.backfill_rules.func()
    assert world.states(kept) == {tag.id: S.REMOVED}
    assert world.states(changed) == {tag.id: S.PENDING_ADD}, "the rule set it anew after the run"


def test_deleting_a_rule_takes_its_tags_away_in_the_background(world, session):
    follow, tag = world.followed(name="vip"), world.tag()
    rule = make_rule(VIP, tag)
    backfill(rule)
    with transaction():
        run = saving.delete_rule(rule.id)
    jobs.backfill_rules.func()
    session.refresh(run)
    assert (run.state, run.removed) == ("done", 1)
    assert world.states(follow) == {tag.id: S.REMOVED}


@pytest.fixture
def broken_leaf():
    """A kind of leaf whose SQL fails when it runs."""
    from sqlalchemy import Integer, cast, literal

    def clause(args, now):
        return cast(Customer.name, Integer) / literal(0) == 1

    leaf = Leaf(
        "broken", said_keyword.SaidKeyword, lambda args: {"customer.name"}, clause, lambda *_: "broken"
    )
    leaves()["broken"] = leaf
    yield {"kind": "broken", "keywords": ["x"]}
    del leaves()["broken"]


def test_a_rule_that_fails_is_paused_with_the_reason_and_the_others_go_on(world, session, broken_leaf):
    follow, tag, other = world.followed(name="x"), world.tag(), world.tag()
    bad = make_rule(broken_leaf, other, state=RuleState.DRAFT)
    bad.state = RuleState.ACTIVE  # as if the data had been fine then
    good = make_rule(VIP, tag)
    unreadable = make_rule(VIP, other)
    session.execute(
        update(RuleVersion).where(RuleVersion.rule_id == unreadable.id).values(condition={"kind": "gone"})
    )
    rename(follow.customer_id, "vip")
    evaluate()
    for rule in (bad, good, unreadable):
        session.refresh(rule)
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert good.state == RuleState.ACTIVE
    assert (bad.state, unreadable.state) == (RuleState.PAUSED, RuleState.PAUSED)
    assert "invalid input syntax" in bad.error
    assert changes(session, unreadable) == [(f"rule:{unreadable.id}", {"state": ["active", "paused"]})]
    told = session.scalars(
        select(AlertEntry.key).where(AlertEntry.kind == "rule").order_by(AlertEntry.key)
    ).all()
    assert [key.rpartition(":paused:")[0] for key in told] == sorted(
        [f"rule:{bad.id}", f"rule:{unreadable.id}"]
    )
    assert "condition.kind" in unreadable.error
    assert due(session) == []
    with pytest.raises(InvalidInput, match="cannot be evaluated: invalid input syntax"):
        make_rule(broken_leaf, other)


def test_the_history_says_which_run_did_it(world, session):
    follow, tag = world.followed(name="vip"), world.tag()
    rule = make_rule(VIP, tag)
    run = backfill(rule)
    line = session.scalars(select(TagHistory).where(TagHistory.follow_id == follow.id)).one()
    assert (line.change, line.source, line.run_id) == ("added", f"rule:{rule.id}", run.id)


def test_a_tag_that_was_deleted_is_passed_over_by_the_rule(world, session):
    follow, tag, gone = world.followed(name="x"), world.tag(), world.tag()
    make_rule(VIP, tag, gone)
    gone.deleted_at = utcnow()
    rename(follow.customer_id, "vip")
    evaluate()
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
