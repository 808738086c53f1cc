"""Sets that are kept and brought to the present say what SQL says, whatever happened in between."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from scrm.acquisition.models import ChannelCode
from scrm.audiences.models import AudienceMember
from scrm.customers.models import Customer, Follow
from scrm.customers.queries import visible
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.permissions import Scope
from scrm.people.models import CustomerPerson, PersonConsent, PersonField
from scrm.portraits.models import TraitValue
from scrm.staff.models import StaffDepartment
from scrm.value.models import Lifecycle, RfmScore
from tags.models import Tag, TagAssignment
from tags.rules.compiler import compile_condition
from tags.sets.service import current
from tags.sets.service.counting import count_tree, members_of_tree
from tags.sets.service.memory import memory
from tags.sets.service.watching import KEPT_KINDS
from tests.profiles import examples
from tests.tags.condition_trees import LEAVES, trees
from tests.tags.condition_worlds import NOW, forget, worlds, write, write_catalogue

scopes = st.sampled_from([Scope.all(), Scope.of_staff(1), Scope.of_staff(2, 3)])
first = Customer.id == 1
LATER = NOW + timedelta(days=1)
TAG, DAY = {"kind": "has_tag"}, {"last_days": 1}
SMS = {"kind": "consent", "channel": "sms"}
EMPLOYER, REMARK = {"kind": "field", "field": "person.company"}, {"kind": "field", "field": "follow.remark"}
# What happens → leaves whose answer it changes, in the world below.
CHANGES = {
    "a tag is given": (insert(TagAssignment).values(id=9, customer_id=2, follow_id=2, tag_id=1, state="active", changed_at=NOW),
                       [{**TAG, "tag_ids": [1]}, {**TAG, "tag_group_ids": [1]}, {**TAG, "tag_ids": [1], "match": "not_all"}]),
    "a tag is taken": (update(TagAssignment).where(TagAssignment.id == 1).values(state="removed"), [{**TAG, "tag_ids": [2]}]),
    "a tag goes to somebody else": (update(TagAssignment).where(TagAssignment.id == 1).values(customer_id=2), [{**TAG, "tag_ids": [2]}]),
    "a tag joins another group": (update(Tag).where(Tag.id == 2).values(group_id=2), [{**TAG, "tag_group_ids": [1]}]),
    "fields change": (update(Customer).where(first).values(gender=2, name="vip"),
                      [{"kind": "field", "field": "customer.gender", "op": "equals", "value": 2},
                       {"kind": "field", "field": "customer.gender", "op": "any_of", "values": [1, 2]},
                       {"kind": "field", "field": "customer.name", "op": "is_missing"}]),
    "a customer comes": (insert(Customer).values(id=7, external_userid="wm7"), [{"not": {**TAG, "tag_ids": [1]}}]),
    "a customer goes": (delete(Customer).where(first), [{**TAG, "tag_ids": [2]}, {"kind": "follow", "staff_ids": [1]}]),
    "relations end": (update(Follow).values(deleted_by_staff_at=LATER), [{"kind": "follow"}, {"kind": "follow", "state": "lost"}]),
    "relations change": (update(Follow).where(Follow.id == 1).values(add_way=16, state="c2", remark="王"),
                         [{"kind": "follow", "add_ways": [16]}, {"kind": "follow", "channel_code_ids": [2]},
                          {**REMARK, "op": "equals", "value": "王"}]),
    "relations move": (update(Follow).where(Follow.id == 1).values(staff_id=3), [{"kind": "follow", "staff_ids": [3, 2]}]),
    "a member moves": (delete(StaffDepartment).where(StaffDepartment.staff_id == 2), [{"kind": "follow", "department_ids": [2]}]),
    "a code gets another state": (update(ChannelCode).where(ChannelCode.id == 1).values(state="x"), [{"kind": "follow", "channel_code_ids": [1]}]),
    "stays end": (update(GroupStay).values(left_at=NOW), [{"kind": "in_group", "group_ids": [1]}]),
    "a group gets another owner": (update(CustomerGroup).values(owner_staff_id=3), [{"kind": "in_group", "owner_staff_ids": [1]}]),
    "a person is not known any more": (delete(CustomerPerson), [{**EMPLOYER, "op": "is_present"}, {"kind": "sample", "percent": 100, "salt": "a"}]),
    "a customer is somebody else": (update(CustomerPerson).where(CustomerPerson.customer_id == 2).values(person_id=1),
                                    [{**EMPLOYER, "op": "is_present"}, {"kind": "stage", "stages": ["lead"]}]),
    "a value changes": (update(PersonField).values(value="甲乙"), [{**EMPLOYER, "op": "equals", "value": "甲"}]),
    "a birthday changes": (update(PersonField).where(PersonField.field == "birthday").values(value="1992-12-31"),
                           [{"kind": "field", "field": "person.birthday", "op": "between", "values": ["1991-01-01", "1993-01-01"]},
                            {"kind": "field", "field": "person.birthday", "op": "between", "values": ["1989-03-13", "1990-12-31"]}]),
    "a value moves": (update(PersonField).values(person_id=2), [{**EMPLOYER, "op": "any_of", "values": ["甲", "乙"]}]),
    "a stage is left": (update(Lifecycle).values(stage="loyal"), [{"kind": "stage", "stages": ["lead", "repeat"]}]),
    "scores change": (update(RfmScore).values(r=1), [{"kind": "rfm", "figure": "r", "op": "gte", "value": 3}]),
    "somebody is taken off a list": (delete(AudienceMember), [{"kind": "in_audience", "audience_ids": [1]}]),
    "somebody refuses": (update(PersonConsent).values(contactable=False),
                         [{**SMS, "state": "given"}, {**SMS, "state": "withdrawn"}]),
    "somebody says so again": (update(PersonConsent).values(at=NOW - timedelta(days=9)),
                               [{**SMS, "state": "given", "since": {"from": "2026-03-05", "to": "2026-03-10"}}]),
    "somebody is asked": (insert(PersonConsent).values(person_id=2, channel="sms", contactable=True, source="t", at=NOW),
                          [{**SMS, "state": "never_asked"}, {**SMS, "state": "given"}]),
    "nobody said anything": (delete(PersonConsent), [{**SMS, "state": "given"}, {**SMS, "state": "never_asked"}]),
    "a trait goes": (delete(TraitValue), [{"kind": "trait", "trait_id": 1, "op": "is_present"}]),
}  # fmt: skip
MOVING = [
    {"kind": "follow", "added": DAY},
    {"kind": "in_group", "joined": {"last_hours": 20}},
    {"kind": "stage", "stages": ["lead"], "entered": DAY},
    {**SMS, "state": "given", "since": DAY},
    {"kind": "field", "field": "follow.added_at", "op": "last_days", "days": 2},
    {"kind": "field", "field": "person.birthday", "op": "anniversary", "days": 2},
]
follow = {
    "added_at": NOW - timedelta(hours=12), "half_added_at": None, "deleted_by_staff_at": None,
    "deleted_by_customer_at": None, "state": "c1", "remark": None, "remark_mobiles": None, "add_way": 1,
}  # fmt: skip
customer = {"name": None, "gender": 0, "person": 1, "messages": [], "lists": []}
WORLD = {
    "customers": [
        {**customer, "lists": [1], "follows": [{**follow, "staff": 1, "assignments": [{"tag": 2, "state": "active", "sources": {}}]}],
         "stays": [{"group": 1, "joined_at": NOW - timedelta(hours=12), "left": False}]},
        {**customer, "person": 2, "stays": [], "follows": [{**follow, "staff": 2, "assignments": []}]},
    ],
    "people": [
        {"fields": {"company": "甲", "birthday": "1990-03-13"}, "events": [], "orders": [], "traits": {1: 5},
         "stage": {"stage": "lead", "since": NOW - timedelta(hours=12)},
         "consents": {"sms": {"contactable": True, "at": NOW - timedelta(hours=12)}},
         "score": {"r": 5, "f": 5, "m": 5, "last_on": NOW.date(), "frequency": 1, "monetary": 1}},
        {"fields": {}, "events": [], "orders": [], "traits": {}, "stage": None, "score": None, "consents": {}},
    ],
}  # fmt: skip
changes = st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3)
PLACES = ["memory", "memory", "redis", "redis", "nowhere"]
kept = st.one_of(*[LEAVES[kind] for kind in sorted(KEPT_KINDS & LEAVES.keys())])
asked_of_all = st.tuples(st.lists(trees, min_size=1, max_size=2), st.lists(kept, min_size=4, max_size=6)).map(
    lambda both: [*both[0], *both[1]]
)


@pytest.fixture
def catalogue(committed):
    write_catalogue(committed)
    committed.commit()
    memory().clear()
    return committed


def empty(redis, place):
    """Leave sets in Redis only, or nowhere."""
    if place != "memory":
        memory().clear()
    if place == "nowhere":
        redis.flushdb()


def by_sql(session, tree, scope, now):
    statement = select(Customer.id).where(compile_condition(tree, now=now), visible(scope))
    found = set(session.scalars(statement))
    session.rollback()
    return found


def agrees(session, asked, scope):
    for tree in asked:
        number = count_tree(tree, scope, fresh=True)
        told = members_of_tree(tree, scope, fresh=True)
        expected = by_sql(session, tree, scope, told.as_of)
        assert set(told.ids) == expected, tree
        assert number.count == len(expected), tree
        assert number.exact
        assert told.exact


@examples(15)
@given(
    world=worlds, other=worlds, asked=asked_of_all, scope=scopes, changed=changes,
    replaced=st.sampled_from([False, False, True]), hours=st.sampled_from([0, 0, 6, 30, 200]), place=st.sampled_from(PLACES),
)  # fmt: skip
def test_sets_brought_to_the_present_are_those_of_sql(
    catalogue, redis, world, other, asked, scope, changed, replaced, hours, place
):
    empty(redis, "nowhere")
    forget(catalogue)
    write(catalogue, world)
    catalogue.commit()
    with shifted(NOW + timedelta(seconds=1) - utcnow()):
        agrees(catalogue, asked, scope)
        if replaced:
            forget(catalogue)
            write(catalogue, other)
        for name in changed:
            with suppress(IntegrityError), catalogue.begin_nested():  # not every world has whom it is about
                catalogue.execute(CHANGES[name][0])
        catalogue.commit()
        empty(redis, place)
        with shifted(timedelta(hours=hours)):
            agrees(catalogue, asked, scope)


def write_small(session, redis):
    """A world in which every change of :data:`CHANGES` matters, and no set of it."""
    empty(redis, "nowhere")
    forget(session)
    session.execute(update(Tag).where(Tag.id == 2).values(group_id=1))
    write(session, WORLD)
    session.commit()


def patched_only(monkeypatch):
    """Let no set be asked as a whole any more, those apart for which that is the way."""

    def refuse(keys, now):
        raise AssertionError(f"asked as a whole: {keys}")

    monkeypatch.setattr(current, "asked_within", refuse)


WHOLE = {
    "a tag joins another group",
    "a member moves",
    "a code gets another state",
    "a group gets another owner",
}


def test_what_changed_is_asked_again_and_nothing_else(catalogue, redis, monkeypatch):
    everybody = Scope.all()
    for name, (change, asked) in CHANGES.items():
        write_small(catalogue, redis)
        with shifted(NOW + timedelta(seconds=1) - utcnow()), monkeypatch.context() as patch:
            before = [by_sql(catalogue, tree, everybody, utcnow()) for tree in asked]
            agrees(catalogue, asked, everybody)
            catalogue.execute(change)
            catalogue.commit()
            if name not in WHOLE:
                patched_only(patch)
            agrees(catalogue, asked, everybody)
            after = [by_sql(catalogue, tree, everybody, utcnow()) for tree in asked]
        assert all(old != new for old, new in zip(before, after, strict=True)), f"{name}: changes nothing"


def test_whom_the_clock_moves_is_asked_again(catalogue, redis, monkeypatch):
    everybody = Scope.all()
    write_small(catalogue, redis)
    with shifted(NOW + timedelta(seconds=1) - utcnow()):
        before = [by_sql(catalogue, tree, everybody, utcnow()) for tree in MOVING]
        agrees(catalogue, MOVING, everybody)
        patched_only(monkeypatch)
        with shifted(timedelta(days=3)):
            agrees(catalogue, MOVING, everybody)
            after = [by_sql(catalogue, tree, everybody, utcnow()) for tree in MOVING]
    assert all(old != new for old, new in zip(before, after, strict=True))
