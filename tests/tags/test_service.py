"""Who has which tag and why."""

from sqlalchemy import select

from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.wecom.models import EffectState
from tags.events import TagsChanged
from tags.models import AssignmentState as S
from tags.models import TagChange, TagHistory
from tags.service import Changes, Wish, assign, overrule
from tags.sync.service.outcomes import settle_assignments
from tags.sync.service.pushes import plan_pushes
from tests.tags.conftest import end


def want(follow, tag, source="rule:1", add=True):
    with transaction():
        return assign([Wish(follow.id, tag.id, source, add)])


def push():
    with transaction():
        return plan_pushes()


def settle(effect, *outcome):
    with transaction():
        settle_assignments([end(effect, *outcome)])


def history(session):
    rows = session.execute(select(TagHistory.change, TagHistory.source).order_by(TagHistory.id))
    return [tuple(row) for row in rows]


def test_a_tag_is_pending_until_wecom_accepted_it(world):
    follow, tag = world.followed(), world.tag()
    assert want(follow, tag) == Changes(1, 0)
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert push() == 1
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    settle(world.effects()[0])
    assert world.states(follow) == {tag.id: S.ACTIVE}


def test_the_tag_goes_with_the_last_source_only(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:apikey:1")
    want(follow, tag, "rule:1")
    push()
    settle(world.effects()[0])
    assert want(follow, tag, "rule:1", add=False) == Changes(0, 1)
    assert world.states(follow) == {tag.id: S.ACTIVE}
    assert want(follow, tag, "manual:apikey:1", add=False) == Changes(0, 1)
    assert world.states(follow) == {tag.id: S.PENDING_REMOVE}


def test_a_source_takes_away_only_itself(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:apikey:1")
    assert want(follow, tag, "rule:1", add=False) == Changes(0, 0)
    assert world.sources(follow, tag) == ["manual:apikey:1"]
    assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_wishing_twice_changes_nothing_and_leaves_no_history(world, session):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    assert want(follow, tag) == Changes(0, 0)
    assert history(session) == [(TagChange.ADDED, "rule:1")]


def test_what_wecom_never_heard_of_is_taken_back_without_a_call(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    want(follow, tag, add=False)
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert push() == 0


def test_all_pending_changes_of_a_relation_go_in_one_call(world):
    staff, one, two, three = world.staff(), world.tag(), world.tag(), world.tag()
    follow, other = world.followed(staff), world.followed(staff)
    want(follow, one)
    push()
    settle(world.effects()[0])
    for tag in (two, three):
        want(follow, tag)
    want(follow, one, add=False)
    want(other, one)
    assert push() == 2
    payloads = [effect.payload for effect in world.effects()[1:]]
    assert {**payloads[0], "userid": None, "external_userid": None} == {
        "userid": None, "external_userid": None,
        "add_tag": [two.wecom_id, three.wecom_id], "remove_tag": [one.wecom_id],
    }  # fmt: skip
    assert payloads[1]["add_tag"] == [one.wecom_id]
    assert push() == 0


def test_a_change_while_a_call_is_out_is_told_after_it(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    push()
    want(follow, tag, add=False)
    assert world.states(follow) == {tag.id: S.PENDING_REMOVE}
    assert push() == 0, "one call at a time"
    settle(world.effects()[0])
    assert world.states(follow) == {tag.id: S.PENDING_REMOVE}
    assert push() == 1
    assert world.effects()[1].payload["remove_tag"] == [tag.wecom_id]
    settle(world.effects()[1])
    assert world.states(follow) == {tag.id: S.REMOVED}


def test_wanting_it_back_while_the_removal_is_out_adds_it_again(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    push()
    settle(world.effects()[0])
    want(follow, tag, add=False)
    push()
    want(follow, tag)
    settle(world.effects()[1])
    assert world.states(follow) == {tag.id: S.PENDING_ADD}
    assert push() == 1
    settle(world.effects()[2])
    assert world.states(follow) == {tag.id: S.ACTIVE}
    assert len({effect.key for effect in world.effects()}) == 3


def test_a_refused_removal_that_is_no_longer_wanted_leaves_the_tag_active(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    push()
    settle(world.effects()[0])
    want(follow, tag, add=False)
    push()
    want(follow, tag)
    settle(world.effects()[1], EffectState.FAILED, 48002, "not allowed")
    assert world.states(follow) == {tag.id: S.ACTIVE}


def test_a_refusal_is_kept_and_visible(world, session):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    push()
    settle(world.effects()[0], EffectState.FAILED, 84061, "no contact relationship")
    assert world.states(follow) == {tag.id: S.FAILED}
    refused = session.scalars(select(TagHistory).where(TagHistory.change == TagChange.REFUSED)).one()
    assert refused.error == "84061: no contact relationship"


def test_taking_a_tag_off_a_relation_that_is_gone_is_done(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag)
    push()
    settle(world.effects()[0])
    want(follow, tag, add=False)
    push()
    settle(world.effects()[1], EffectState.FAILED, 84061, "no contact relationship")
    assert world.states(follow) == {tag.id: S.REMOVED}


def test_one_bad_tag_does_not_spoil_the_others_of_its_call(world):
    follow, good, bad = world.followed(), world.tag(), world.tag()
    want(follow, good)
    want(follow, bad)
    push()
    settle(world.effects()[0], EffectState.FAILED, 40068, "invalid tag")
    assert world.states(follow) == {good.id: S.PENDING_ADD, bad.id: S.PENDING_ADD}
    alone = {effect.payload["add_tag"][0]: effect for effect in world.effects()[1:]}
    settle(alone[good.wecom_id])
    settle(alone[bad.wecom_id], EffectState.FAILED, 40068, "invalid tag")
    assert world.states(follow) == {good.id: S.ACTIVE, bad.id: S.FAILED}


def test_half_relations_wait_until_the_member_adds_back(world):
    staff, tag = world.staff(), world.tag()
    follow = world.follow(world.customer(), staff, added_at=None, half_added_at=utcnow())
    want(follow, tag)
    assert push() == 0
    follow.added_at = utcnow()
    assert push() == 1


def test_deleted_tags_and_unknown_relations_are_passed_over(world):
    follow, tag = world.followed(), world.tag()
    tag.deleted_at = utcnow()
    with transaction():
        assert (
            assign([Wish(follow.id, tag.id, "rule:1", True), Wish(999999, tag.id, "rule:1", True)])
            == Changes()
        )
    assert world.states(follow) == {}


def test_a_person_overrules_a_rule_until_it_wants_the_tag_anew(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "rule:1")
    want(follow, tag, "channel:4")
    push()
    settle(world.effects()[0])
    with transaction():
        overrule([(follow.id, tag.id)], "manual:apikey:1")
    assert world.states(follow) == {tag.id: S.PENDING_REMOVE}
    assert world.sources(follow, tag) == ["rule:1"]
    assert want(follow, tag, "rule:1") == Changes(0, 0), "the rule has had its say"
    want(follow, tag, "rule:1", add=False)
    want(follow, tag, "rule:1")
    push()
    assert world.states(follow) in ({tag.id: S.ACTIVE}, {tag.id: S.PENDING_ADD})


def test_a_person_may_ask_again_for_what_wecom_refused(world):
    follow, tag = world.followed(), world.tag()
    want(follow, tag, "manual:a")
    push()
    settle(world.effects()[0], EffectState.FAILED, 84061, "gone")
    want(follow, tag, "manual:a")
    assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_listeners_hear_which_tags_a_customer_gained_and_lost(world):
    heard = []
    events.subscribe(TagsChanged)(heard.extend)
    try:
        follow, tag = world.followed(), world.tag()
        want(follow, tag, "rule:7")
        want(follow, tag, "rule:7", add=False)
    finally:
        events._subscribers[TagsChanged].remove(heard.extend)
    assert heard == [
        TagsChanged(follow.customer_id, (tag.id,), (), "rule:7"),
        TagsChanged(follow.customer_id, (), (tag.id,), "rule:7"),
    ]
