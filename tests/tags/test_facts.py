"""Facts about persons wake the rules that read them, for every customer the person is."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from scrm.behaviour.events import BehaviourStored
from scrm.commerce.events import OrdersChanged, ProductsChanged
from scrm.customers.models import Customer
from scrm.groups.events import GroupChanged
from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.people.events import ConsentChanged, PeopleMerged, PeopleSplit, PersonChanged
from scrm.people.models import CustomerPerson, Person
from scrm.people.service.consents import Consent, set_contactable
from scrm.portraits.events import TraitsChanged
from scrm.value.events import ValueChanged
from tags.models import RuleDue, RuleVersion
from tags.service import Wish, assign
from tests.tags.cases import group, stay
from tests.tags.cases_of_people import ordered, person_of
from tests.tags.test_rules import VIP, due, make_rule


@pytest.fixture
def twice(world, session):
    """One person who is two customers, and a rule that looks at everything about persons."""
    ids = sorted(world.followed().customer_id for _ in range(2))
    session.add(person := Person())
    session.flush()
    session.execute(delete(CustomerPerson).where(CustomerPerson.customer_id.in_(ids)))
    session.add_all([CustomerPerson(customer_id=id_, person_id=person.id) for id_ in ids])
    rule = make_rule(VIP, world.tag())
    version = session.get(RuleVersion, (rule.id, 1))
    version.reads = ["consent:sms", "event:7", "field:city", "orders", "rfm", "stage", "trait:4"]
    session.flush()
    return person.id, ids


@pytest.mark.parametrize(
    "told",
    [
        lambda person: PersonChanged(person, ("city",)),
        lambda person: ConsentChanged(person, "sms"),
        lambda person: PeopleMerged(person, 0),
        lambda person: PeopleSplit(0, person),
        lambda person: BehaviourStored((person,), (3, 7), recount=True),
        lambda person: OrdersChanged((person,)),
        lambda person: TraitsChanged((person,), (4,)),
        lambda person: ValueChanged((person,)),
    ],
)
def test_both_customers_are_looked_at_again_once(session, twice, told):
    person, ids = twice
    with transaction():
        events.publish(told(person))
    assert sorted(due(session)) == ids


def test_facts_no_rule_reads_and_other_people_wake_nobody(session, twice):
    person, _ = twice
    with transaction():
        events.publish(
            PersonChanged(person, ("gender",)),
            ConsentChanged(person, "email"),
            BehaviourStored((person,), (8,), recount=True),
            OrdersChanged((0,)),
            TraitsChanged((person,), (5,)),
        )
    assert session.query(RuleDue).count() == 0


def wakes(session, tell, condition, world):
    """Whether a rule with the condition looks again at the customer that ``tell`` is about."""
    made = make_rule(condition, world.tag())
    session.execute(delete(RuleDue))
    with transaction():
        tell()
    rows = session.execute(select(RuleDue.customer_id, RuleDue.rule_ids)).all()
    return {row.customer_id for row in rows if made.id in row.rule_ids}


@pytest.mark.parametrize(("asked", "woken"), [({"categories": ["饮料"]}, True), ({"shops": ["甲"]}, False)])
def test_a_product_that_moves_to_another_category_wakes_rules_about_categories(world, session, asked, woken):
    follow = world.followed()
    asks = ordered((1, 10, {}), product_ids=True)(world, session.get(Customer, follow.customer_id), None)
    (product_id,) = asks["product_ids"]
    found = wakes(
        session, lambda: events.publish(ProductsChanged((product_id,))), {"kind": "order", **asked}, world
    )
    assert found == ({follow.customer_id} if woken else set())


@pytest.mark.parametrize(
    ("asked", "woken"), [({"sources": ["person"]}, True), ({"since": {"last_days": 3}}, True), ({}, False)]
)
def test_another_source_of_a_tag_that_is_there_wakes_rules_that_ask_for_sources(world, session, asked, woken):
    follow, tag = world.followed(), world.tag()
    with transaction():
        assign([Wish(follow.id, tag.id, "channel:1", add=True)])
    found = wakes(
        session,
        lambda: assign([Wish(follow.id, tag.id, "manual:a", add=True)]),
        {"kind": "has_tag", "tag_ids": [tag.id], **asked},
        world,
    )
    assert found == ({follow.customer_id} if woken else set())


@pytest.mark.parametrize(
    ("contactable", "days_ago", "channel", "woken"),
    [(False, 0, "sms", True), (True, 2, "sms", False), (True, 1, "sms", False), (False, 0, "email", False)],
    ids=["a refusal", "an older word", "the same word again", "of another channel"],
)
def test_what_a_person_says_about_being_contacted_wakes_rules_that_ask_for_it(
    world, session, contactable, days_ago, channel, woken
):
    follow, now = world.followed(), utcnow()
    person = person_of(session.get(Customer, follow.customer_id))
    said = Consent("sms", contactable=True, source="form", at=now - timedelta(days=1))
    set_contactable(person, said)
    word = Consent(channel, contactable, "hotline", now - timedelta(days=days_ago))
    condition = {"kind": "consent", "channel": "sms", "state": "given"}
    found = wakes(session, lambda: set_contactable(person, word), condition, world)
    assert found == ({follow.customer_id} if woken else set())


def test_another_owner_of_a_group_wakes_rules_about_its_members(world, session):
    follow, other, ring = world.followed(), world.followed(), group()
    stay(session.get(Customer, follow.customer_id), ring)
    stay(session.get(Customer, other.customer_id), group())
    condition = {"kind": "in_group", "owner_staff_ids": [world.staff().id]}
    told = lambda: events.publish(GroupChanged(ring.id, "owner", utcnow()))  # noqa: E731
    assert wakes(session, told, condition, world) == {follow.customer_id}
