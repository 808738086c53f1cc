"""A sync tells nobody as if things happened now: no welcome, no add, no alarm; rules get one batch at the end."""

import pytest
from sqlalchemy import select, text

from scrm.customers.events import ContactFact, ContactRecorded
from scrm.kernel.db import transaction
from scrm.losses.models import Loss
from scrm.sync.events import RulesOwed
from scrm.wecom.models import Effect
from tags.models import RuleDue, Tag, TagAssignment
from tests.scrm.sync.conftest import at_work, begin, finish, later_sync, relations, run_of, step_until, sync
from tests.tags.test_rules import make_rule

LOUD = {
    "FollowAdded", "FollowLost", "FollowChanged", "CustomerChanged", "CustomersFound", "FollowTagsSeen", "TagsChanged",
    "AssignmentMoved", "GroupJoined", "GroupLeft", "GroupChanged", "DetailsWanted", "NameWanted", "EffectsPlanned",
    "MessageStored",
}  # fmt: skip


@pytest.fixture
def rule(corp, committed):
    """A rule that looks at everybody."""
    sync(entities=["tags"])
    tag = committed.scalars(select(Tag).order_by(Tag.id)).first()
    return make_rule({"kind": "field_equals", "field": "customer.type", "value": 1}, tag)


def test_a_first_sync_tells_nothing_as_if_it_happened_now(corp, committed, told):
    sync()
    assert {type(event).__name__ for event in told} & LOUD == set()
    assert committed.scalars(select(Effect)).all() == []
    kinds = set(committed.scalars(text("SELECT DISTINCT kind FROM timeline")))
    assert kinds <= {"group.joined"}  # with WeCom's own times
    assert committed.scalar(text("SELECT count(*) FROM welcomes")) == 0


def test_changes_and_losses_found_later_are_quiet_too(corp, committed, told):
    sync()
    keys = sorted(relations(committed))
    for who, userid in keys[:4]:
        corp.edit(userid, who, remark="neu", tags=[corp.state_ids("tag")[0]])
    for who, userid in keys[4:7]:
        corp.delete_contact(userid, who)
    chat_id = corp.state_ids("group")[0]
    corp.leave_group(chat_id, [w for w in corp.state("group", chat_id)["members"] if w.startswith("wm")])
    told.clear()
    later_sync()
    assert {type(event).__name__ for event in told} & LOUD == set()
    assert committed.scalars(select(Effect)).all() == []


def test_losses_are_recorded_as_found_and_nobody_is_alarmed(corp, committed, told):
    sync()
    gone = sorted(relations(committed))[:3]
    for who, userid in gone:
        corp.delete_contact(userid, who)
    told.clear()
    later_sync()
    recorded = [event for event in told if isinstance(event, ContactRecorded)]
    assert [(event.fact, event.found) for event in recorded] == [(ContactFact.LOST_BY_STAFF, True)] * 3
    losses = committed.scalars(select(Loss)).all()
    assert {loss.found for loss in losses} == {True}
    assert len(losses) == 3
    assert committed.scalar(text("SELECT count(*) FROM alerts")) == 0


def test_rules_get_everybody_who_changed_in_one_batch_at_the_end(corp, committed, rule, told):
    run_id = begin()
    step_until(run_id, "applying")
    while not committed.scalar(text("SELECT count(*) FROM follows")):
        committed.rollback()
        step_once()
    assert committed.scalars(select(RuleDue)).all() == []
    committed.rollback()
    finish(run_id)
    due = committed.scalars(select(RuleDue)).all()
    assert {row.customer_id for row in due} == {c.id for c, _ in relations(committed).values()}
    assert len(due) == len({row.customer_id for row in due})
    assert sum(isinstance(event, RulesOwed) for event in told) == 1
    assert committed.scalar(text("SELECT count(*) FROM sync_touched")) == 0


def step_once():
    import time

    from scrm.sync import jobs

    assert jobs.turn(time.monotonic())


def test_only_who_changed_is_given_to_the_rules(corp, committed, rule):
    sync()
    with transaction() as session:
        session.execute(text("DELETE FROM rule_due"))
    (who, userid), (tagged, member), *_ = sorted(relations(committed))
    corp.edit(userid, who, remark="neu")
    corp.edit(member, tagged, tags=[corp.state_ids("tag")[-1]])
    later_sync()
    expected = {c.id for (external, _), (c, _) in relations(committed).items() if external in {who, tagged}}
    assert set(committed.scalars(select(RuleDue.customer_id))) == expected


def test_without_rules_nothing_is_remembered_for_them(corp, committed):
    run_id = begin(entities=["customers"])
    while at_work(run_of(run_id)):
        step_once()
        assert committed.scalar(text("SELECT count(*) FROM sync_touched")) == 0
        committed.rollback()
    assert committed.scalar(text("SELECT count(*) FROM rule_due")) == 0


def test_people_of_groups_who_became_customers_are_recognized_with_their_stays(corp, committed):
    sync(entities=["staff", "groups"])
    with transaction() as session:
        session.execute(text("DELETE FROM timeline"))
    assert committed.scalar(text("SELECT count(customer_id) FROM group_stays")) == 0
    committed.rollback()
    sync(entities=["customers"])
    stays = text("SELECT count(*) FROM group_stays WHERE member_type = 2 AND customer_id IS NULL")
    assert committed.scalar(stays) == 0
    assert committed.scalar(text("SELECT count(*) FROM timeline WHERE kind = 'group.joined'")) > 0


def test_assignments_found_by_a_sync_have_their_reason_and_history(corp, committed):
    sync()
    rows = committed.execute(
        text("""
        SELECT a.state, s.source, h.change, h.source FROM tag_assignments a
        JOIN tag_sources s ON s.assignment_id = a.id
        JOIN tag_history h ON h.follow_id = a.follow_id AND h.tag_id = a.tag_id
        """)
    ).all()
    assert set(rows) == {("active", "wecom", "added", "wecom")}
    assert len(rows) == len(committed.scalars(select(TagAssignment)).all())
