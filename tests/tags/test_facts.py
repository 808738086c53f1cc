"""Facts about persons wake the rules that read them, for every customer the person is."""

import pytest
from sqlalchemy import delete

from scrm.behaviour.events import BehaviourStored
from scrm.commerce.events import OrdersChanged
from scrm.kernel import events
from scrm.kernel.db import transaction
from scrm.people.events import PeopleMerged, PeopleSplit, PersonChanged
from scrm.people.models import CustomerPerson, Person
from scrm.portraits.events import TraitsChanged
from scrm.value.events import ValueChanged
from tags.models import RuleDue, RuleVersion
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
    version.reads = ["event:7", "field:city", "orders", "rfm", "stage", "trait:4"]
    session.flush()
    return person.id, ids


@pytest.mark.parametrize(
    "told",
    [
        lambda person: PersonChanged(person, ("city",)),
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
            BehaviourStored((person,), (8,), recount=True),
            OrdersChanged((0,)),
            TraitsChanged((person,), (5,)),
        )
    assert session.query(RuleDue).count() == 0
