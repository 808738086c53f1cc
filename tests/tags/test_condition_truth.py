"""Random trees over random worlds: the SQL, in both of its forms, says what the slow reference says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from scrm.customers.models import Customer
from tags.rules.compiler import compile_condition, condition_expires, validate_condition, words
from tags.rules.leaves import leaves
from tests.profiles import examples
from tests.tags.condition_trees import LEAVES, trees
from tests.tags.condition_truth import holds
from tests.tags.condition_worlds import NOW, forget, worlds, write, write_catalogue


def check(session, world, asked):
    if not session.info.get("catalogue"):
        write_catalogue(session)
        session.info["catalogue"] = True
    forget(session)
    write(session, world)
    columns = [
        compile_condition(tree, now=NOW, everybody=everybody).label(f"c{i}_{everybody}")
        for i, tree in enumerate(asked)
        for everybody in (False, True)
    ]
    rows = session.execute(select(Customer.id, *columns).order_by(Customer.id)).all()
    for i, tree in enumerate(asked):
        expected = [holds(tree, world, row.id) for row in rows]
        assert [row[1 + 2 * i] for row in rows] == expected, f"for a few customers: {tree}"
        assert [row[2 + 2 * i] for row in rows] == expected, f"for everybody: {tree}"


def test_the_reference_knows_every_kind_of_leaf():
    assert set(LEAVES) >= set(leaves())


@pytest.fixture
def fresh(session):
    session.info.pop("catalogue", None)
    yield session
    session.info.pop("catalogue", None)


@examples(60)
@given(world=worlds, asked=st.lists(trees, min_size=4, max_size=6))
def test_the_compiler_agrees_with_the_reference(fresh, world, asked):
    check(fresh, world, asked)


@pytest.mark.fault  # slow
@pytest.mark.parametrize("kind", sorted(LEAVES))
def test_every_kind_of_leaf_agrees_with_the_reference(fresh, kind):
    @examples(120)
    @given(world=worlds, asked=st.lists(LEAVES[kind], min_size=6, max_size=8))
    def agrees(world, asked):
        check(fresh, world, asked)

    agrees()


@examples(25)
@given(asked=st.lists(trees, min_size=8, max_size=8))
def test_random_trees_are_valid_say_something_and_know_when_time_changes_them(fresh, asked):
    if not fresh.info.get("catalogue"):
        write_catalogue(fresh)
        fresh.info["catalogue"] = True
    for tree in asked:
        validate_condition(tree)
        assert words(tree, "zh")
        assert words(tree, "en").isprintable()
        expired = condition_expires(tree, NOW, NOW)
        assert expired is None or fresh.execute(expired).all() == []
