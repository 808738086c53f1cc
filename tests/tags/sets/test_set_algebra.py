"""A tree as set algebra over small leaves holds for the customers for whom the tree itself holds."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Scope
from scrm.people.models import Person
from tags.models import Tag
from tags.rules.compiler import compile_condition
from tags.sets.service.algebra import evaluated, selected
from tags.sets.service.counting import count_tree, members_of_tree, tag_sets
from tags.sets.service.keeping import asked
from tags.sets.service.normal_form import set_tree
from tags.sets.service.watching import EVERYBODY
from tests.profiles import examples
from tests.tags.condition_trees import trees
from tests.tags.condition_worlds import forget, worlds, write, write_catalogue

scopes = st.sampled_from([Scope.all(), Scope.of_staff(1), Scope.of_staff(2, 3), Scope.of_staff()])


def by_sets(tree):
    """What the algebra makes of sets that are asked now, in a transaction that has written: nothing of it is kept."""
    node = set_tree(tree)
    sets = asked({*node.keys(), EVERYBODY}, utcnow())
    return set(selected(evaluated(node, sets), sets[EVERYBODY]))


def told_by_sql(session, tree, scope):
    return set(session.scalars(select(Customer.id).where(compile_condition(tree), visible(scope))))


@examples(12)
@given(world=worlds, trees=st.lists(trees, min_size=3, max_size=5), scope=scopes)
def test_sets_say_what_the_compiler_says(session, world, trees, scope):
    if not session.scalar(select(Tag.id).limit(1)):
        write_catalogue(session)
    forget(session)
    write(session, world)
    for tree in trees:
        assert by_sets(tree) == told_by_sql(session, tree, Scope.all()), tree
        expected = told_by_sql(session, tree, scope)
        assert set(members_of_tree(tree, scope).ids) == expected, tree
        assert count_tree(tree, scope).count == len(expected)


def keys(tree):
    return sorted(set(set_tree(tree).keys()))


def test_leaves_with_several_values_share_the_sets_of_single_ones():
    one = {"kind": "has_tag", "tag_ids": [1]}
    assert keys({"kind": "has_tag", "tag_ids": [2, 1], "match": "all"}) == keys(
        {"any": [{**one, "match": "none"}, {"kind": "has_tag", "tag_ids": [2]}]}
    )
    way = {"kind": "follow", "add_ways": [1, 3], "staff_ids": [5, 6]}
    assert len(keys(way)) == 4, "one for each pair, because both must hold of the same relation"
    gender = {"kind": "field", "field": "customer.gender", "op": "any_of", "values": [1, 2]}
    assert keys({**gender, "values": [2]}) == keys(
        {"kind": "field", "field": "customer.gender", "op": "equals", "value": 2}
    )
    assert keys({"kind": "field_equals", "field": "customer.name", "value": ""}) == keys(
        {"kind": "field", "field": "customer.name", "op": "is_present"}
    )


def test_a_leaf_of_many_combinations_is_asked_as_a_whole():
    many = {"kind": "follow", "add_ways": list(range(20)), "staff_ids": list(range(1, 20))}
    assert len(keys(many)) == 1


def born(first, last):
    return {"kind": "field", "field": "person.birthday", "op": "between", "values": [first, last]}


def test_days_of_several_years_share_the_sets_of_whole_years(session):
    assert set(keys(born("1990-01-01", "1992-12-31"))) < set(keys(born("1989-12-31", "1993-01-01")))
    assert len(keys(born("1989-12-31", "1993-01-01"))) == 5
    assert len(keys(born("1990-01-02", "1991-12-30"))) == 1, "no whole year"
    assert len(keys(born("1900-01-01", "2199-12-31"))) == 1, "too many years"
    assert len(keys({**born("1989-12-31", "1993-01-01"), "field": "person.nickname"})) == 1, (
        "no field of days"
    )
    assert len(keys({**born("1989-12-31", "1993-01-01"), "field": "follow.added_at"})) == 1, "of relations"


def test_whole_years_hold_each_day_of_theirs_and_no_other(session):
    edges = ["1899-12-31", "1900-01-01", "1988-12-31", "1989-01-01", "1989-12-31", "1990-01-01", "1990-02-28",
             "1991-12-30", "1991-12-31", "1992-01-01", "1992-02-29", "2199-12-31"]  # fmt: skip
    people = [{"fields": {"birthday": day}, **NOTHING_KNOWN} for day in edges]
    customers = [{**NOBODY, "person": number} for number in range(1, len(edges) + 1)]
    session.execute(insert(Person), [{"id": number} for number in range(1, len(edges) + 1)])
    write(session, {"customers": customers, "people": people})
    days = edges[1:]
    for place, first in enumerate(days):
        for last in days[place:]:
            found = by_sets(born(first, last))
            assert [edges[id_ - 1] for id_ in sorted(found)] == days[place : days.index(last) + 1]


NOTHING_KNOWN = {"events": [], "orders": [], "traits": {}, "stage": None, "score": None, "consents": {}}
NOBODY = {"name": None, "gender": 0, "follows": [], "stays": [], "messages": [], "lists": []}


def test_customers_per_tag_are_those_of_the_scope(session):
    from tests.tags.conftest import make_world

    world = make_world()
    anna, bert = world.staff(), world.staff()
    gold, silver = world.tag(), world.tag()
    first, second = world.followed(anna), world.followed(bert)
    from tests.tags.sets.holding import hold

    hold(first, gold)
    hold(second, gold)
    hold(second, silver)
    assert {tag: set(bits) for tag, bits in tag_sets(Scope.all()).items()} == {
        gold.id: {first.customer_id, second.customer_id},
        silver.id: {second.customer_id},
    }
    assert {tag: set(bits) for tag, bits in tag_sets(Scope.of_staff(anna.id)).items()} == {
        gold.id: {first.customer_id}
    }
