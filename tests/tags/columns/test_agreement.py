"""Random events and orders: the copy in columns says what the slow reference says, with and without later changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from scrm.behaviour.models import BehaviourEvent
from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from tags.columns.service.asking import ask
from tags.rules.compiler import versioned
from tags.sets.service.normal_form import set_leaf
from tests.profiles import examples, seeded
from tests.tags.cases import CASES, when_put_together
from tests.tags.columns.copying import copy_all, whole_set
from tests.tags.condition_trees import LEAVES
from tests.tags.condition_truth import holds
from tests.tags.condition_worlds import NOW, forget, worlds, write, write_catalogue

COPIED = st.one_of(LEAVES["event"], LEAVES["order"], LEAVES["sequence"])

LEFT_TO_POSTGRESQL = {
    # values that are not of their property's type have no column
    *("event: a number is no text", "event: text is no price", "event: nor one of several"),
    *("event: in the list", "event: none of the list", "event: not all"),  # nor have lists
    "event: no sum of nothing",  # nor have properties of what never happened
    "event: contains",  # upper and lower case
    *("event: average", "order: on average"),  # DuckDB rounds averages
    "order: on two days",  # days are copied of events alone
}


@pytest.fixture
def world_of(session, columns):
    """Writes a world, and copies it."""
    write_catalogue(session)

    def write_and_copy(world):
        forget(session)
        write(session, world)
        copy_all()

    return write_and_copy


def truth(tree, world):
    return {i for i in range(1, len(world["customers"]) + 1) if holds(tree, world, i)}


@pytest.mark.parametrize("number", range(4))
def test_the_copy_agrees_with_the_reference(session, world_of, number):
    """In four transactions: a long one holds up tests of other processes."""
    answered = []

    @seeded(number)
    @examples(9)
    @given(world=worlds, asked=st.lists(COPIED, min_size=16, max_size=20))
    def agrees(world, asked):
        world_of(world)
        everybody = set(session.scalars(select(Customer.id)))
        for tree in asked:
            answer = ask(versioned(tree), NOW)
            answered.append(answer is not None)
            if answer is not None:
                told = everybody - set(answer.ids) if answer.but else set(answer.ids)
                assert told == truth(tree, world), tree
                assert not answer.changed

    agrees()
    assert sum(answered) > len(answered) / 2, "the copy was hardly asked"


def test_the_copy_says_of_every_case_what_the_case_says(session, world, columns):
    """Cases of :mod:`tests.tags.cases`; it answers all but a few."""
    with when_put_together():
        made = []
        for kind in ("event", "order", "sequence"):
            for name, args, make, told in CASES[kind]:
                customer = world.customer()
                leaf = {"kind": kind, **args, **(make(world, customer, world.staff()) or {})}
                made.append((f"{kind}: {name}", customer.id, leaf, told))
        session.flush()
        copy_all()
        everybody, left = set(session.scalars(select(Customer.id))), set()
        for name, customer_id, leaf, told in made:
            answer = ask(versioned(leaf), utcnow())
            if answer is None:
                left.add(name)
            else:
                ids = everybody - set(answer.ids) if answer.but else set(answer.ids)
                assert (customer_id in ids) is told, name
    assert left == LEFT_TO_POSTGRESQL


@pytest.mark.parametrize("number", range(2))
def test_whoever_changed_since_the_copy_is_asked_again(session, world_of, number):
    """All events of a person become others; the copy still has them as they were."""

    @seeded(number)
    @examples(10)
    @given(world=worlds, asked=st.lists(COPIED, min_size=4, max_size=6))
    def agrees(world, asked):
        world_of(world)
        session.execute(
            update(BehaviourEvent)
            .where(BehaviourEvent.person_id == 1)
            .values(type_id=3 - BehaviourEvent.type_id)
        )
        for event in world["people"][0]["events"]:
            event["type_id"] = 3 - event["type_id"]
        for tree in asked:
            key = set_leaf({k: v for k, v in versioned(tree).items() if k != "schema_version"}).key
            assert set(whole_set(key, NOW)) == truth(tree, world), tree

    agrees()
    assert session.scalar(select(func.count()).select_from(BehaviourEvent)) is not None
