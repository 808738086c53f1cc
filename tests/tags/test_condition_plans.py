"""Every leaf finds its rows by an index, and a question that takes too long names the leaf to blame."""

import pytest
from sqlalchemy import func, select, text

from scrm.customers.models import Customer
from tags.rules.compiler import compile_condition, customer_ids
from tags.rules.costs import ConditionTooSlow, leaf_question, plan_of, too_slow
from tags.rules.leaves import leaves
from tags.rules.service.bounds import TooSlow, bounded
from tags.rules.tree import parse_tree
from tests.tags.condition_worlds import write_catalogue

LARGE = {
    "follows", "tag_assignments", "tag_sources", "group_stays", "messages", "person_fields", "behaviour_events", "orders",
    "order_lines", "customer_people", "rfm_scores", "lifecycle", "trait_values", "audience_members", "person_consents",
}  # fmt: skip
WEEK = {"last_days": 7}
STEP = {"event_type_id": 1}
QUESTIONS = [
    {"kind": "field", "field": "customer.name", "op": "equals", "value": "n7"},
    {"kind": "field", "field": "follow.remark", "op": "contains", "value": "7"},
    {"kind": "field", "field": "person.company", "op": "equals", "value": "c7"},
    {"kind": "field", "field": "person.birthday", "op": "anniversary", "days": 7, "calendar": "lunar"},
    {"kind": "follow", "staff_ids": [1], "added": WEEK},
    {"kind": "has_tag", "tag_ids": [1, 2], "match": "all"},
    {"kind": "has_tag", "tag_group_ids": [1], "sources": ["person"], "since": WEEK},
    {"kind": "in_group", "group_ids": [1], "joined": WEEK},
    {"kind": "said_keyword", "keywords": ["价格"], "within_days": 7},
    {"kind": "event", **STEP, "window": WEEK},
    {
        "kind": "event",
        **STEP,
        "op": "gte",
        "value": 2,
        "where": [{"property": "page", "op": "equals", "value": "a"}],
    },
    {"kind": "order", "measure": "sum", "currency": "CNY", "value": 5, "product_ids": [1]},
    {"kind": "sequence", "first": STEP, "then": {"event_type_id": 2}, "within_hours": 24},
    {"kind": "sample", "percent": 10, "salt": "a"},
    {"kind": "rfm", "figure": "r", "op": "gte", "value": 4},
    {"kind": "stage", "stages": ["loyal"], "entered": WEEK},
    {"kind": "consent", "channel": "sms", "state": "withdrawn", "since": WEEK},
    {"kind": "consent", "channel": "sms", "state": "never_asked"},
    {"kind": "trait", "trait_id": 1, "op": "gte", "value": 3},
    {"kind": "in_audience", "audience_ids": [1]},
    {"kind": "in_audience", "audience_ids": [1, 3], "match": "all"},
]
SEED = """
INSERT INTO customers (external_userid, name) SELECT 'w' || i, 'n' || i FROM generate_series(1, 4000) i;
INSERT INTO follows (customer_id, staff_id, added_at, remark)
  SELECT id, id % 3 + 1, now() - id % 300 * interval '1 day', 'r' || id FROM customers;
INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at)
  SELECT customer_id, id, id % 3 + 1, 'active', now() FROM follows;
INSERT INTO tag_sources (assignment_id, source, since) SELECT id, 'manual:a', now() FROM tag_assignments;
INSERT INTO group_stays (group_id, member_id, member_type, customer_id, joined_at)
  SELECT 1, external_userid, 2, id, now() FROM customers;
INSERT INTO messages (sent_at, channel, message_key, direction, kind, text, content, customer_id)
  SELECT now() - id % 60 * interval '1 day', 'kf', 'm' || id, 'in', 'text', 'hi', '{}', id FROM customers;
INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT i FROM generate_series(10, 4009) i;
INSERT INTO customer_people (customer_id, person_id) SELECT id, 9 + row_number() OVER (ORDER BY id) FROM customers;
INSERT INTO person_fields (person_id, field, value, source, at)
  SELECT p.id, f.key, to_jsonb('c' || p.id % 100), 't', now() FROM people p, (VALUES ('company'), ('birthday')) f(key);
INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
  SELECT now() - p.id % 90 * interval '1 day', p.id, p.id % 9 + 1, '{"page": "a"}', 't', p.id FROM people p;
INSERT INTO orders (person_id, source, source_id, status, status_at, placed_at, amount, currency)
  SELECT id, 't', id, 'paid', now(), now(), 5, 'CNY' FROM people;
INSERT INTO order_lines (order_id, line_no, product_ref, product_id, quantity, amount) SELECT id, 1, 'p', 1, 1, 5 FROM orders;
INSERT INTO rfm_scores (person_id, last_on, frequency, monetary, r, f, m, computed_at)
  SELECT id, current_date, 1, 5, id % 5 + 1, 1, 1, now() FROM people;
INSERT INTO trait_values (trait_id, person_id, value_num, computed_at) SELECT 1, id, id % 5, now() FROM people;
INSERT INTO audience_members (audience_id, customer_id, source, added_at) SELECT 1, id, 't', now() FROM customers;
INSERT INTO person_consents (person_id, channel, contactable, source, at) SELECT id, 'sms', id % 2 = 0, 't', now() FROM people;
INSERT INTO lifecycle (person_id, stage, since) SELECT id, 'loyal', now() FROM people;
"""


@pytest.fixture
def seeded(session):
    write_catalogue(session)
    for statement in SEED.split(";\n"):
        if statement.strip():
            session.execute(text(statement.replace(":", r"\\:") if "::" in statement else statement))
    session.execute(text("ANALYZE"))
    return session


def tiny_tables(session):
    """Tables and partitions that are quicker read as a whole, such as a month that has hardly begun."""
    return set(session.scalars(text("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples < 1000")))


def scans(plan, tiny):
    """(table, how) of every look at a table in a plan, partitions by the name of the whole; tiny ones left out."""
    if "Relation Name" in plan and plan["Relation Name"] not in tiny:
        name = plan["Relation Name"]
        yield (
            next((table for table in LARGE if name == table or name.startswith(f"{table}_")), name),
            plan["Node Type"],
        )
    for below in plan.get("Plans", ()):
        yield from scans(below, tiny)


def test_every_leaf_finds_the_facts_of_a_few_customers_by_an_index(seeded):
    asked = seeded.scalars(select(Customer.id).order_by(Customer.id).limit(20)).all()
    for tree in QUESTIONS:
        few = select(Customer.id).where(Customer.id.in_(asked), compile_condition(tree))
        plan = plan_of(few)
        looked = [(table, how) for table, how in scans(plan, tiny_tables(seeded)) if table in LARGE]
        assert all(how != "Seq Scan" for _, how in looked), (tree, looked)
        assert any(table in LARGE for table, _ in scans(plan, ())) or tree.get("field", "").startswith(
            "customer."
        ), tree


def test_the_questions_are_about_every_kind_of_leaf():
    assert {tree["kind"] for tree in QUESTIONS} >= set(leaves())


def test_every_leaf_can_be_asked_about_everybody_without_a_whole_look_where_an_index_serves(seeded):
    """With sequential scans made dear, none is left: an index serves each."""
    seeded.execute(text("SET LOCAL enable_seqscan = off"))
    for tree in QUESTIONS:
        [(leaf, node)] = parse_tree(tree).leaves()
        looked = [
            (table, how)
            for table, how in scans(plan_of(leaf_question(leaf, node.args)), ())
            if table in LARGE
        ]
        assert all(how != "Seq Scan" for _, how in looked), (tree, looked)


def test_leaves_give_the_ids_of_customers_from_their_own_rows(seeded):
    """Without a look at ``customers``, and the same as the predicate says."""
    asked = {"said_keyword", "sample", "in_audience", "all"}  # not of their own rows, or of several sets
    trees = [tree for tree in QUESTIONS if not {tree["kind"], tree.get("match")} & asked]
    for tree in (t for t in trees if not t.get("field", "").startswith("customer.")):
        found = customer_ids(tree)
        assert " customers" not in str(found.ids), tree
        everybody = set(seeded.scalars(select(Customer.id)))
        ids = set(seeded.scalars(found.ids))
        meant = set(seeded.scalars(select(Customer.id).where(compile_condition(tree, everybody=True))))
        assert (everybody - ids if found.but else ids) == meant, tree


def test_a_question_that_takes_too_long_names_the_leaf_that_costs_most(seeded):
    dear = {"kind": "sequence", "first": STEP, "then": {"event_type_id": 2}, "within_hours": 24}
    tree = {"all": [{"kind": "field", "field": "customer.name", "op": "equals", "value": "x"}, {"not": dear}]}
    with pytest.raises(TooSlow), bounded(0.05):
        seeded.execute(select(func.count(), func.pg_sleep(2)).select_from(Customer)).all()
    told = too_slow(tree, 0.05)
    assert isinstance(told, ConditionTooSlow)
    assert (told.status, list(told.fields)) == (504, ["condition.all.1.not"])
    assert "事1" in told.message
