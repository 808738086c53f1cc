"""WeCom's picture and ours: who is right when, and that looking again changes nothing."""

from datetime import timedelta

from sqlalchemy import select

from scrm.customers.events import FollowAdded, FollowTagsSeen
from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.wecom.models import EffectState
from tags.models import AssignmentState as S
from tags.models import RuleDue, TagHistory, TagRefresh, TagSighting
from tags.sync.service.outcomes import settle_assignments
from tags.sync.service.pushes import plan_pushes
from tags.sync.service.sightings import reconcile, reconcile_sightings
from tests.tags.conftest import end
from tests.tags.test_rules import VIP, make_rule
from tests.tags.test_service import push, settle, want


def see(follow, *tags, at=None):
    """WeCom shows these tags (rows, or ids of tags unknown here) on the relation."""
    ids = tuple(getattr(tag, "wecom_id", tag) for tag in tags)
    with transaction():
        reconcile([FollowTagsSeen(follow.id, follow.customer_id, ids, at or utcnow())])


def active(world, *sources):
    follow, tag = world.followed(), world.tag()
    for source in sources:
        want(follow, tag, source)
    push()
    settle(world.effects()[-1])
    world.long_ago()
    return follow, tag


def test_a_tag_set_in_wecom_is_ours_with_wecom_as_its_reason(world):
    follow, tag = world.followed(), world.tag()
    see(follow, tag)
    assert world.states(follow) == {tag.id: S.ACTIVE}
    assert world.sources(follow, tag) == ["wecom"]
    assert push() == 0


def test_seeing_the_same_again_changes_nothing_and_tells_nobody(world, session):
    make_rule({"kind": "has_tag", "tag_ids": [world.tag().id]}, world.tag())
    follow, tag = world.followed(), world.tag()
    make_rule({"kind": "has_tag", "tag_ids": [tag.id]}, world.tag())
    see(follow, tag)
    lines, due = (session.query(model).count() for model in (TagHistory, RuleDue))
    world.long_ago()
    see(follow, tag)
    see(follow, tag)
    assert (session.query(TagHistory).count(), session.query(RuleDue).count()) == (lines, due) == (1, 1)


def test_a_tag_taken_away_in_wecom_is_removed_but_the_rule_is_remembered(world, session):
    follow, tag = active(world, "rule:1", "manual:a")
    see(follow)
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert world.sources(follow, tag) == ["rule:1"]
    last = session.scalars(select(TagHistory).order_by(TagHistory.id.desc()).limit(1)).one()
    assert (last.change, last.source, last.by) == ("removed", "manual:a", "wecom")


def test_a_look_that_is_older_than_our_own_change_says_nothing(world):
    follow, tag = world.followed(), world.tag()
    before = utcnow()
    want(follow, tag, "manual:a")
    push()
    settle(world.effects()[-1])
    see(follow, at=before)
    see(follow, at=utcnow())
    assert world.states(follow) == {tag.id: S.ACTIVE}, "WeCom's reads may trail its writes a little"
    see(follow, at=utcnow() + timedelta(seconds=5))
    assert world.states(follow) == {tag.id: S.REMOVED}


def test_while_a_call_is_out_its_answer_decides(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:a")
    push()
    world.long_ago()
    see(follow)
    see(follow, tag)
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    settle(world.effects()[-1])
    assert world.states(follow) == {tag.id: S.ACTIVE}


def test_what_waits_to_be_told_and_is_there_already_needs_no_call(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "rule:1")
    world.long_ago()
    see(follow, tag)
    assert world.states(follow) == {tag.id: S.ACTIVE}
    assert world.sources(follow, tag) == ["rule:1", "wecom"], (
        "a person set it: the rule alone may not take it away"
    )
    assert push() == 0


def test_what_waits_to_be_removed_and_is_gone_already_needs_no_call(world):
    follow, tag = active(world, "rule:1")
    want(follow, tag, "rule:1", add=False)
    world.long_ago()
    see(follow)
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert push() == 0


def test_a_refused_tag_that_wecom_shows_after_all_is_active(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:a")
    push()
    settle(world.effects()[-1], EffectState.FAILED, 45009, "limit")
    world.long_ago()
    see(follow)
    assert world.states(follow) == {tag.id: S.FAILED}, "still not there, still visible"
    see(follow, tag)
    assert world.states(follow) == {tag.id: S.ACTIVE}


def test_an_unknown_tag_is_fetched_and_then_taken_over(world, session):
    follow = world.followed()
    see(follow, "etNEW")
    assert session.scalars(select(TagRefresh.wecom_id)).all() == ["etNEW"]
    tag = world.tag(wecom_id="etNEW")
    with transaction():
        reconcile_sightings()
    assert world.states(follow) == {tag.id: S.ACTIVE}
    assert session.scalars(select(TagSighting)).all() == []


def test_a_tag_made_while_the_list_was_being_fetched_is_not_forgotten(world, session):
    follow, began = world.followed(), utcnow()
    see(follow, "etNEW")
    with transaction():
        reconcile_sightings(began)  # the list that was on its way does not hold it yet
        reconcile_sightings()  # nor does a fetch of other tags
    tag = world.tag(wecom_id="etNEW")
    with transaction():
        reconcile_sightings(utcnow())
    assert world.states(follow) == {tag.id: S.ACTIVE}


def test_what_was_shown_and_is_gone_from_a_later_list_is_forgotten(world, session):
    see(world.followed(), "etGONE")
    with transaction():
        reconcile_sightings(utcnow())
    assert session.scalars(select(TagSighting)).all() == []


def test_of_several_looks_the_newest_counts(world):
    follow, tag = world.followed(), world.tag()
    now = utcnow()
    seen = [
        FollowTagsSeen(follow.id, follow.customer_id, (), now),
        FollowTagsSeen(follow.id, follow.customer_id, (tag.wecom_id,), now - timedelta(minutes=1)),
    ]
    with transaction():
        reconcile(seen)
    assert world.states(follow) == {}


def test_a_relation_that_comes_back_gets_what_was_refused(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:a")
    push()
    settle(world.effects()[-1], EffectState.FAILED, 84061, "no relation")
    with transaction():
        events.publish(FollowAdded(follow.id, follow.customer_id, follow.staff_id, utcnow()))
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert push() == 1


def test_a_call_that_was_sent_again_by_hand_makes_us_look_at_the_customer(world, session):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:a")
    push()
    effect = world.effects()[-1]
    settle(effect, EffectState.FAILED, 48002, "not allowed")
    with transaction():
        settle_assignments([end(effect)])
    session.expire_all()
    from scrm.customers.models import Customer

    assert session.get(Customer, follow.customer_id).refresh_wanted_at is not None


def test_two_hundred_relations_take_a_fixed_number_of_statements(world, session):
    from sqlalchemy import event

    tag, staff = world.tag(), world.staff()
    make_rule(VIP, world.tag())
    follows = [world.followed(staff) for _ in range(200)]
    seen = [FollowTagsSeen(f.id, f.customer_id, (tag.wecom_id,), utcnow()) for f in follows]
    statements = []

    def count(conn, cursor, statement, *rest):
        statements.append(statement)

    event.listen(session.connection().engine, "before_cursor_execute", count)
    try:
        with transaction():
            reconcile(seen)
        with transaction():
            plan_pushes()
    finally:
        event.remove(session.connection().engine, "before_cursor_execute", count)
    assert len(statements) < 40, statements
