"""Whatever happens in whatever order: incremental evaluation, a backfill and naive recomputation agree."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select, text, update

from scrm.conversations.events import MessageStored
from scrm.conversations.models import Channel, Direction, Message
from scrm.customers.events import FollowAdded, FollowLost, FollowTagsSeen, LostBy
from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.groups.events import GroupJoined, GroupLeft
from scrm.groups.models import GroupStay
from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from tags.models import Rule, RuleRun, TagAssignment, TagSource
from tags.rules.jobs import backfill_rules
from tags.rules.service import saving
from tags.service import Wish, assign, overrule
from tags.sync.service.pushes import plan_pushes
from tags.sync.service.sightings import reconcile
from tests.profiles import examples
from tests.tags.cases import group, say, stay
from tests.tags.conftest import make_world
from tests.tags.test_rules import VIP, evaluate, has, make_rule, rename

TABLES = "customers, rules, tag_history, messages, effects, customer_groups"
LIVE = (FollowStatus.ACTIVE, FollowStatus.HALF)
HELD = ("active", "pending_add")
PEOPLE = 3

person = st.integers(0, PEOPLE - 1)
tag_no = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("rename"), person, st.sampled_from(["vip", "x"])),
    st.tuples(st.just("say"), person, st.sampled_from(["价格", "hi"])),
    st.tuples(st.just("join"), person),
    st.tuples(st.just("leave"), person),
    st.tuples(st.just("tag"), person, tag_no),
    st.tuples(st.just("untag"), person, tag_no),
    st.tuples(st.just("show"), person, st.sets(tag_no, max_size=3)),
    st.tuples(st.just("gain"), person),
    st.tuples(st.just("lose"), person, st.sampled_from(list(LostBy))),
    st.tuples(st.just("evaluate")),
    st.tuples(st.just("push")),
)


class Story:
    """A few people, rules that feed each other, and things that happen."""

    def __init__(self, session):
        session.execute(text(f"TRUNCATE {TABLES} CASCADE"))
        self.session, self.world = session, make_world()
        self.staff, self.tags = self.world.staff(), [self.world.tag() for _ in range(5)]
        self.group = group()
        self.follows = [self.world.followed(self.staff, name="x") for _ in range(PEOPLE)]
        first, second, third, _, fifth = self.tags
        said = {"kind": "said_keyword", "keywords": ["价格"]}
        away = {"not": {"kind": "in_group", "group_ids": [self.group.id]}}
        lacks = {"kind": "has_not_tag", "tag_ids": [second.id]}
        self.rules = {
            make_rule(VIP, first).id: (first, lambda f: self.name(f) == "vip"),
            make_rule({"all": [has(first), {"any": [said, away]}]}, second).id: (
                second, lambda f: self.holds(f, first) and (self.said(f) or not self.inside(f))),
            make_rule({"all": [lacks, said]}, third).id: (
                third, lambda f: not self.holds(f, second) and self.said(f)),
            make_rule(has(third, fifth), self.tags[3]).id: (
                self.tags[3], lambda f: self.holds(f, third) or self.holds(f, fifth)),
        }  # fmt: skip

    def rename(self, i, name):
        rename(self.follows[i].customer_id, name)

    def say(self, i, words):
        message = say(self.follows[i], words)
        customer_id = self.follows[i].customer_id
        self.session.execute(update(Message).where(Message.id == message.id).values(customer_id=customer_id))
        told = MessageStored(message.id, message.sent_at, Channel.KF, Direction.IN, customer_id, None)
        self.publish(told, told)  # twice does no harm

    def join(self, i):
        customer = self.customer(i)
        if not self.inside(self.follows[i]):
            made = stay(customer, self.group)
            self.publish(GroupJoined(self.group.id, made.id, customer.id, utcnow()))

    def leave(self, i):
        customer = self.customer(i)
        self.session.execute(
            update(GroupStay).where(GroupStay.customer_id == customer.id).values(left_at=utcnow())
        )
        self.publish(GroupLeft(self.group.id, 0, customer.id, utcnow()))

    def tag(self, i, tag):
        with transaction():
            assign([Wish(self.follows[i].id, self.tags[tag].id, "manual:a", add=True)])

    def untag(self, i, tag):
        with transaction():
            overrule([(self.follows[i].id, self.tags[tag].id)], "manual:a")

    def show(self, i, tags):
        follow = self.follows[i]
        shown = tuple(self.tags[tag].wecom_id for tag in tags)
        with transaction():
            reconcile([FollowTagsSeen(follow.id, follow.customer_id, shown, utcnow() + timedelta(seconds=5))])

    def gain(self, i):
        follow = self.follows[i]
        follow.added_at = utcnow()
        self.publish(FollowAdded(follow.id, follow.customer_id, follow.staff_id, utcnow()))

    def lose(self, i, by):
        follow = self.follows[i]
        setattr(follow, f"deleted_by_{by}_at", utcnow())
        self.publish(FollowLost(follow.id, follow.customer_id, follow.staff_id, by, utcnow()))

    def evaluate(self):
        evaluate()

    def push(self):
        with transaction():
            plan_pushes()

    def publish(self, *told):
        with transaction():
            self.session.flush()
            events.publish(*told)

    def customer(self, i):
        return self.session.get(Customer, self.follows[i].customer_id, populate_existing=True)

    # The naive recomputation: plain reads, no condition language.

    def name(self, follow):
        return self.customer(self.follows.index(follow)).name

    def said(self, follow):
        found = select(Message.text).where(Message.customer_id == follow.customer_id)
        return "价格" in self.session.scalars(found).all()

    def inside(self, follow):
        found = select(GroupStay.left_at).where(GroupStay.customer_id == follow.customer_id)
        return None in self.session.scalars(found).all()

    def holds(self, follow, tag):
        found = select(TagAssignment.state).where(
            TagAssignment.customer_id == follow.customer_id, TagAssignment.tag_id == tag.id
        )
        return any(state in HELD for state in self.session.scalars(found))

    def expected(self):
        """(follow, tag, source) that must be there, and those that may: a customer who left keeps what still holds."""
        must, may = set(), set()
        for follow in self.follows:
            self.session.refresh(follow)
            for rule_id, (tag, holds) in self.rules.items():
                if follow.status != FollowStatus.DELETED_BY_STAFF and holds(follow):
                    (must if follow.status in LIVE else may).add((follow.id, tag.id, f"rule:{rule_id}"))
        return must, must | may

    def actual(self):
        rows = (
            select(TagAssignment.follow_id, TagAssignment.tag_id, TagSource.source)
            .join(TagSource, TagSource.assignment_id == TagAssignment.id)
            .where(TagSource.source.like("rule:%"))
        )
        return set(map(tuple, self.session.execute(rows)))


@examples(15)
@given(happenings=st.lists(steps, min_size=3, max_size=14))
def test_incremental_evaluation_a_backfill_and_naive_recomputation_agree(session, happenings):
    story = Story(session)
    for name, *args in happenings:
        getattr(story, name)(*args)
    evaluate()
    must, may = story.expected()
    assert must <= story.actual() <= may
    for rule_id in story.rules:
        with transaction():
            run = saving.start_backfill(rule_id)
        backfill_rules.func()
        session.refresh(run)
        assert (run.state, run.added, run.removed) == ("done", 0, 0)


def test_a_backfill_of_what_happened_before_the_rules_gives_the_same(session):
    story = Story(session)
    session.execute(delete(RuleRun))
    session.execute(update(Rule).values(state="paused"))
    for name, *args in [
        ("rename", 0, "vip"),
        ("rename", 1, "vip"),
        ("join", 1),
        ("say", 2, "价格"),
        ("lose", 0, LostBy.CUSTOMER),
    ]:
        getattr(story, name)(*args)
    assert story.actual() == set()
    session.execute(update(Rule).values(state="active"))
    for rule_id in story.rules:
        with transaction():
            saving.start_backfill(rule_id)
        backfill_rules.func()
        evaluate()
    must, _ = story.expected()
    assert must == story.actual()
    assert len(must) == 3
    assert session.scalars(select(Follow.status).where(Follow.id == story.follows[0].id)).one() not in LIVE
