"""Undo of a run restores exactly, whatever people changed before, between and after."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from scrm.customers.models import Customer
from scrm.kernel.db import transaction
from tags.models import Preference, TagAssignment, TagSource
from tags.rules.jobs import backfill_rules
from tags.rules.service import saving
from tags.rules.service.working import advance_run
from tags.service import Wish, assign, overrule
from tests.profiles import examples
from tests.tags.conftest import make_world
from tests.tags.test_rules import VIP, make_rule

PEOPLE, TAGS = 4, 3
HELD = ("active", "pending_add")
person, tag_no = st.integers(0, PEOPLE - 1), st.integers(0, TAGS - 1)
doing = st.tuples(st.sampled_from(["tag", "untag"]), person, tag_no)
acts = st.lists(doing, max_size=4)


class Town:
    """People, three tags (one group, exclusive or not), and one rule that gives the first tag to those named vip."""

    def __init__(self, session, vips, exclusive):
        session.execute(text("TRUNCATE customers, rules, tag_history, effects CASCADE"))
        self.session, self.world = session, make_world()
        self.world.group.exclusive = exclusive is not None
        self.world.group.prefers = exclusive or Preference.PEOPLE
        self.tags = [self.world.tag() for _ in range(TAGS)]
        staff = self.world.staff()
        self.follows = [self.world.followed(staff, name="vip" if i in vips else "x") for i in range(PEOPLE)]

    def act(self, kind, i, tag):
        key = (self.follows[i].id, self.tags[tag].id)
        with transaction():
            if kind == "tag":
                assign([Wish(*key, "manual:a", add=True)])
            else:
                overrule([key], "manual:a")

    def held(self):
        found = select(TagAssignment.follow_id, TagAssignment.tag_id).where(TagAssignment.state.in_(HELD))
        return set(map(tuple, self.session.execute(found)))

    def sources(self):
        found = select(TagAssignment.follow_id, TagAssignment.tag_id, TagSource.source)
        return set(map(tuple, self.session.execute(found.join(TagSource))))

    def undo(self, rule, run):
        with transaction():
            saving.start_undo(rule.id, run.id, "a")
        backfill_rules.func()


worlds = st.tuples(st.sets(person), st.sampled_from([None, *Preference]))


@examples(6)
@given(world=worlds, before=acts)
def test_undoing_a_run_that_nobody_touched_since_restores_everything(session, world, before):
    town = Town(session, *world)
    for act in before:
        town.act(*act)
    was = town.held(), town.sources()
    rule = make_rule(VIP, town.tags[0])
    with transaction():
        run = saving.start_backfill(rule.id)
    backfill_rules.func()
    town.undo(rule, run)
    assert (town.held(), town.sources()) == was


@examples(6)
@given(vips=st.sets(person), before=acts, during=acts, after=acts)
def test_what_people_did_during_and_after_a_run_is_as_if_the_run_had_never_been(
    session, vips, before, during, after
):
    ends = []
    for with_run in (True, False):
        town = Town(session, vips, None)
        for act in before:
            town.act(*act)
        rule = make_rule(VIP, town.tags[0])
        if with_run:
            with transaction():
                run = saving.start_backfill(rule.id)
            with transaction():
                advance_run(run.id, limit=2)
        for act in during:
            town.act(*act)
        if with_run:
            backfill_rules.func()
        for act in after:
            town.act(*act)
        if with_run:
            town.undo(rule, run)
        ends.append(
            {
                (town.follows.index(_of(town, follow)), town.tags.index(_tag(town, tag)))
                for follow, tag in town.held()
            }
        )
    assert ends[0] == ends[1]


def _of(town, follow_id):
    return next(follow for follow in town.follows if follow.id == follow_id)


def _tag(town, tag_id):
    return next(tag for tag in town.tags if tag.id == tag_id)


def test_undoing_a_run_that_took_tags_away_gives_them_back(session):
    town = Town(session, {0, 1}, None)
    rule = make_rule(VIP, town.tags[0])
    with transaction():
        saving.start_backfill(rule.id)
    backfill_rules.func()
    was = town.held(), town.sources()
    session.execute(update(Customer).values(name="x"))
    with transaction():
        run = saving.start_backfill(rule.id)
    backfill_rules.func()
    assert town.held() == set()
    town.undo(rule, run)
    assert (town.held(), town.sources()) == was
