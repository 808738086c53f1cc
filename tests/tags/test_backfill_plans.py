"""A backfill of a rule that gives many a tag costs the same at its end as at its beginning."""

import pytest
from sqlalchemy import text

from scrm.kernel.db import session as current_session
from tags.models import RuleRun, RunState
from tags.rules.compiler import compile_condition
from tags.rules.costs import plan_of
from tags.rules.service.backfilling import CHANGED, FIRST, SECONDS, _width
from tags.rules.service.evaluating import Population, active_rules, difference_statement
from tests.tags.test_rules import VIP, make_rule


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def look_at(rule, population):
    """How a look of the rule finds what it holds: (table, index condition) of every scan."""
    compiled = [(rule, compile_condition(rule.condition, everybody=population.everybody))]
    found = list(nodes(plan_of(difference_statement(compiled, population))))
    return {(node["Relation Name"], node.get("Index Cond", "")) for node in found if "Relation Name" in node}


@pytest.fixture
def only_hashes(world):
    """A rule, and a planner that joins row by row only where the statement leaves it nothing else."""
    rule = make_rule(VIP, world.tag())
    for _ in range(3):
        world.followed(name="vip")
    for setting in ("enable_nestloop", "enable_seqscan", "enable_bitmapscan"):
        current_session().execute(text(f"SET LOCAL {setting} = off"))
    return next(iter(active_rules([rule.id])))


@pytest.mark.parametrize("few", [Population.of_ids([1, 2]), Population.between(0, 10, few=True)])
def test_what_a_rule_set_on_few_customers_is_found_from_their_own_tags(only_hashes, few):
    looked = look_at(only_hashes, few)
    assert any(table == "tag_sources" and "tag_assignments.id" in how for table, how in looked)
    assert any(table == "follows" and "held.follow_id" in how for table, how in looked)


def test_of_many_customers_the_planner_may_begin_with_what_the_rule_set(only_hashes):
    looked = look_at(only_hashes, Population.between(0, 1_000_000))
    assert not any(table == "tag_sources" and "tag_assignments.id" in how for table, how in looked)


@pytest.mark.parametrize(
    ("seen", "seconds", "changed", "width"),
    [
        (0, 0.0, 0, FIRST),
        (10_000, 1.0, 0, 10_000 * SECONDS),  # nothing to write: as far as the pace goes
        (10_000, 1.0, 5_000, 2 * CHANGED * 2),  # every second customer
        (10_000, 100.0, 10, 1_000),
    ],
)
def test_a_look_is_at_no_more_customers_than_one_transaction_changes(seen, seconds, changed, width):
    run = RuleRun(seen=seen, worked_seconds=seconds, added=changed, removed=0, state=RunState.RUNNING)
    assert _width(run) == width
