"""Every kind of leaf, and the tree around them."""

import pytest
from sqlalchemy import not_, select

from scrm.customers.models import Customer
from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput
from tags.models import RuleDue
from tags.rules.compiler import compile_condition, condition_reads, explain, validate_condition, words
from tags.rules.leaves import leaves
from tags.rules.measures import COUNTS
from tags.service import Wish, assign
from tests.tags.cases import CASES, HOLDS_OF_NOBODY, WRONG, when_put_together
from tests.tags.conftest import make_world
from tests.tags.test_rules import make_rule

ALL = [(kind, *case) for kind, cases in CASES.items() for case in cases]
ALL_WRONG = [(kind, *case) for kind, cases in WRONG.items() for case in cases]
IN_GROUP = {"kind": "in_group"}
NAMED_VIP = {"kind": "field", "field": "customer.name", "op": "equals", "value": "vip"}


def holds_of_nobody(leaf):
    """Whether it holds for a customer of whom nothing is known."""
    if leaf["kind"] in ("event", "order") and leaf.get("measure", "count") in COUNTS:
        values = leaf.get("values") or [leaf.get("value", 1)]
        return leaf.get("op") in ("lte", "lt") or (leaf.get("op", "gte") != "gt" and values[0] == 0)
    return leaf["kind"] not in ("event", "order") and bool(
        {leaf.get("match"), leaf.get("op"), leaf.get("state")} & HOLDS_OF_NOBODY
    )


def customers(session, condition):
    return set(session.scalars(select(Customer.id).where(compile_condition(condition))))


@pytest.mark.parametrize("kind", sorted(leaves()))
def test_every_kind_of_leaf_has_cases_of_both_answers_and_of_refusals(kind):
    assert {case[-1] for case in CASES[kind]} == {True, False}
    assert WRONG[kind]


@pytest.mark.parametrize(("kind", "name", "args", "make", "holds"), ALL, ids=[f"{c[0]}: {c[1]}" for c in ALL])
def test_leaf(session, world, kind, name, args, make, holds):
    with when_put_together():
        customer, bystander = world.customer(), world.customer()
        leaf = {"kind": kind, **args, **(make(world, customer, world.staff()) or {})}
        session.flush()
        validate_condition(leaf)
        assert (customer.id in customers(session, leaf)) is holds
        assert (customer.id in customers(session, {"not": leaf})) is not holds, "true or false, never NULL"
        assert (bystander.id in customers(session, leaf)) is holds_of_nobody(leaf)
        everybody = compile_condition(leaf, everybody=True)
        assert (customer.id in set(session.scalars(select(Customer.id).where(everybody)))) is holds
        told = explain(leaf, customer.id)
        assert told["holds"] is holds
        assert told["words"] == words(leaf, "zh")
        assert words(leaf, "en").isprintable()


@pytest.mark.parametrize(("kind", "args", "path"), ALL_WRONG, ids=[f"{c[0]}: {c[2]}" for c in ALL_WRONG])
def test_a_wrong_leaf_is_refused_with_its_path_inside_the_tree(session, kind, args, path):
    with pytest.raises(InvalidInput) as caught:
        validate_condition({"all": [IN_GROUP, {"kind": kind, **args}]})
    assert list(caught.value.fields) == [f"condition.all.1.{path}"]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (None, "condition"),
        ([], "condition"),
        ({}, "condition"),
        ({"all": []}, "condition.all"),
        ({"all": {}}, "condition.all"),
        ({"all": [IN_GROUP], "any": [IN_GROUP]}, "condition"),
        ({"not": [IN_GROUP]}, "condition.not"),
        ({"any": [IN_GROUP, "x"]}, "condition.any.1"),
        ({"not": {"kind": "nonsense"}}, "condition.not.kind"),
        ({"kind": []}, "condition.kind"),
        ({"schema_version": 3, **IN_GROUP}, "condition.schema_version"),
        ({"all": [{"schema_version": 1, **IN_GROUP}]}, "condition.all.0.schema_version"),
        ({"all": [IN_GROUP] * 100}, "condition"),
    ],
)
def test_a_malformed_tree_is_refused_with_its_path(tree, path):
    with pytest.raises(InvalidInput) as caught:
        validate_condition(tree)
    assert list(caught.value.fields) == [path]


def test_a_tree_of_any_depth_is_refused_without_falling_over():
    tree = IN_GROUP
    for _ in range(900):
        tree = {"not": tree}
    with pytest.raises(InvalidInput, match="deeper than 10"):
        validate_condition(tree)


@pytest.mark.parametrize(
    ("leaf", "path"),
    [
        ({"kind": "has_tag", "tag_ids": [987654]}, "condition.not.tag_ids.0"),
        ({"kind": "has_tag", "tag_group_ids": [987654]}, "condition.not.tag_group_ids.0"),
        ({"kind": "follow", "staff_ids": [987654]}, "condition.not.staff_ids.0"),
        ({"kind": "follow", "department_ids": [987654]}, "condition.not.department_ids.0"),
        ({"kind": "follow", "acquisition_link_ids": [987654]}, "condition.not.acquisition_link_ids.0"),
        ({"kind": "in_group", "group_ids": [987654]}, "condition.not.group_ids.0"),
        ({"kind": "follow", "channel_code_ids": [987654]}, "condition.not.channel_code_ids.0"),
    ],
)
def test_rows_that_do_not_exist_are_named(session, leaf, path):
    with pytest.raises(InvalidInput, match="987654") as caught:
        validate_condition({"not": leaf})
    assert list(caught.value.fields) == [path]


def test_branches_combine_leaves(session, world):
    vip, plain = world.followed(name="vip"), world.followed(name="x")
    both = {"any": [NAMED_VIP, {"not": NAMED_VIP}]}
    none = {"all": [NAMED_VIP, {"not": NAMED_VIP}]}
    assert customers(session, both) == {vip.customer_id, plain.customer_id}
    assert customers(session, none) == set()
    assert customers(session, {"not": {"not": NAMED_VIP}}) == {vip.customer_id}
    negated = select(Customer.id).where(not_(compile_condition(both)))
    assert session.scalars(negated).all() == []


def test_reads_name_the_facts_and_time():
    tree = {"all": [
        {"kind": "has_tag", "tag_ids": [7]}, NAMED_VIP, {"kind": "in_group", "group_ids": [2]},
        {"not": {"kind": "said_keyword", "keywords": ["x"], "within_days": 3}},
    ]}  # fmt: skip
    assert condition_reads(tree) == ["customer.name", "group:2", "messages", "tag:7", "time"]


def test_words_name_what_ids_mean(session, world):
    tag = world.tag("黄金会员")
    tree = {"all": [{"kind": "has_tag", "tag_ids": [tag.id]}, {"not": IN_GROUP}]}
    assert words(tree, "zh") == "（有标签黄金会员（任一） 且 不是（在任一客户群中））"
    assert words(tree, "en") == "(has any of the tags 黄金会员 and not (is in a customer group))"


def test_a_stage_that_the_company_has_not_is_refused_by_its_path(session):
    with pytest.raises(InvalidInput) as refused:
        validate_condition({"all": [{"kind": "stage", "stages": ["loyal", "loyall"]}]}, "condition")
    assert refused.value.fields == {
        "condition.all.0.stages.1": "must be one of at_risk, first_purchase, lead, lost, loyal, repeat"
    }


@pytest.mark.parametrize(
    ("values", "problem"), [(["2020-02-30", "2021-01-01"], "must be a day"), ([True, 3], "must be a number")]
)
def test_a_wrong_value_is_refused_as_one_of_the_type_it_is_written_like(session, values, problem):
    born = {"kind": "field", "field": "person.birthday", "op": "between", "values": values}
    with pytest.raises(InvalidInput, match=problem) as refused:
        validate_condition(born)
    assert list(refused.value.fields) == ["condition.values.0"]


def test_explain_tells_every_node(session, world):
    follow = world.followed(name="vip")
    told = explain({"all": [NAMED_VIP, {"not": IN_GROUP}, IN_GROUP]}, follow.customer_id, "en")
    assert told["holds"] is False
    assert [(each["path"], each["holds"]) for each in told["all"]] == [
        ("condition.all.0", True), ("condition.all.1", True), ("condition.all.2", False),
    ]  # fmt: skip
    assert told["all"][1]["not"]["holds"] is False


def test_a_tag_that_joined_the_group_later_wakes_rules_about_the_group(session, world):
    follow, first = world.followed(), world.tag()
    leaf = {"kind": "has_tag", "tag_group_ids": [first.group_id]}
    assert condition_reads(leaf) == [f"tag:{first.id}", f"tag_group:{first.group_id}"]
    rule = make_rule(leaf, make_world().tag())
    later = world.tag()
    with transaction():
        assign([Wish(follow.id, later.id, "manual:a", add=True)])
    assert [rule.id] in session.scalars(select(RuleDue.rule_ids)).all()
