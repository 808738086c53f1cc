"""The published JSON Schema and our own check say the same; trees of version 1; sentences."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from scrm.kernel.errors import InvalidInput
from tags.rules.compiler import versioned, words
from tags.rules.condition_schema import condition_schema
from tags.rules.leaves import leaves
from tags.rules.tree import parse_tree
from tests.profiles import examples
from tests.tags.condition_trees import trees
from tests.tags.condition_worlds import write_catalogue

VALIDATOR = Draft202012Validator(condition_schema(), format_checker=FormatChecker())
# What the schema cannot say and the program checks alone (docs/conditions.md).
OURS_ALONE = (
    "must not be before from",
    "the lower one first",
    "over 100 with the offset",
    "nodes",
    "nested deeper",
)
STRANGE = [
    None,
    -1,
    0,
    1.5,
    "",
    "x",
    "2026-13-01",
    True,
    [],
    {},
    10**20,
    ["a"],
    [1, "b"],
    {"last_days": 0},
    "\0",
]


def ours(tree):
    """Why our own check refuses a tree of the present version; None: it does not."""
    try:
        parse_tree({"schema_version": 2, **tree})
    except InvalidInput as error:
        return error.message
    return None


def places(node, path=()):
    """Paths of everything inside a tree."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(tree, path, how, value):
    """A copy of the tree with one thing removed, replaced, or added beside it."""
    mutant = copy.deepcopy(tree)
    holder = mutant
    for key in path[:-1]:
        holder = holder[key]
    if how == "drop":
        del holder[path[-1]]
    elif how == "add" and isinstance(holder, dict):
        holder["nonsense"] = value
    else:
        holder[path[-1]] = value
    return mutant


def test_the_schema_is_a_schema_and_knows_every_leaf():
    Draft202012Validator.check_schema(condition_schema())
    assert set(leaves()) < set(condition_schema()["$defs"])
    for kind in leaves():
        assert not VALIDATOR.is_valid({"kind": kind, "nonsense": 1})


@pytest.mark.parametrize(
    ("named", "valid"),
    [({}, False), ({"tag_ids": None}, False), ({"tag_ids": [1]}, True), ({"tag_group_ids": [2]}, True),
     ({"tag_ids": None, "tag_group_ids": [2]}, True), ({"tag_ids": [1], "tag_group_ids": [2]}, False)],
)  # fmt: skip
def test_tags_or_groups_of_tags_are_named_and_not_both(named, valid):
    assert (ours({"kind": "has_tag", **named}) is None) is valid
    assert VALIDATOR.is_valid({"kind": "has_tag", **named}) is valid


@examples(25)
@given(tree=trees)
def test_valid_trees_are_valid_by_the_schema(tree):
    assert ours(tree) is None
    assert VALIDATOR.is_valid(tree)
    assert VALIDATOR.is_valid({"schema_version": 2, **tree})
    assert not VALIDATOR.is_valid({"schema_version": 3, **tree})


@examples(60)
@given(data=st.data(), tree=trees)
def test_changed_trees_are_refused_by_both_or_by_neither(data, tree):
    path = data.draw(st.sampled_from(list(places(tree))))
    mutant = changed(
        tree,
        path,
        data.draw(st.sampled_from(["drop", "replace", "add"])),
        data.draw(st.sampled_from(STRANGE)),
    )
    problem = ours(mutant)
    if VALIDATOR.is_valid(mutant):
        assert problem is None or any(each in problem for each in OURS_ALONE), mutant
    else:
        assert problem is not None, mutant


OLD_AND_NEW = [
    ({"kind": "field_equals", "field": "customer.name", "value": "王"},
     {"kind": "field", "field": "customer.name", "op": "equals", "value": "王"}),
    ({"kind": "field_equals", "field": "customer.gender", "value": 2},
     {"kind": "field", "field": "customer.gender", "op": "equals", "value": 2}),
    ({"kind": "field_equals", "field": "follow.remark_mobiles", "value": "138"},
     {"kind": "field", "field": "follow.remark_mobiles", "op": "any_of", "values": ["138"]}),
    ({"kind": "field_contains", "field": "follow.remark", "value": "a"},
     {"kind": "field", "field": "follow.remark", "op": "contains", "value": "a"}),
    ({"kind": "has_not_tag", "tag_ids": [1, 2]}, {"kind": "has_tag", "tag_ids": [1, 2], "match": "none"}),
    ({"kind": "has_not_tag", "tag_ids": [1], "match": "any"}, {"kind": "has_tag", "tag_ids": [1], "match": "not_all"}),
    ({"kind": "added_by_staff", "staff_ids": [3]}, {"kind": "follow", "staff_ids": [3]}),
    ({"kind": "added_through_channel", "channel_code_ids": [4]}, {"kind": "follow", "channel_code_ids": [4]}),
    ({"kind": "added_within_days", "days": 7}, {"kind": "follow", "added": {"last_days": 7}}),
    ({"kind": "in_group"}, {"kind": "in_group"}),
    ({"kind": "said_keyword", "keywords": ["a"], "within_days": 2}, {"kind": "said_keyword", "keywords": ["a"], "within_days": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW, ids=[str(old["kind"]) for old, _ in OLD_AND_NEW])
def test_version_1_is_read_as_version_2_and_kept_so(old, new):
    for tree in ({"schema_version": 1, "all": [{"not": old}]}, {"all": [{"not": old}]}):
        assert versioned(tree) == {"schema_version": 2, "all": [{"not": new}]}
        parse_tree(tree)
    assert versioned({"schema_version": 1, **old}) == {"schema_version": 2, **new}
    assert VALIDATOR.is_valid(versioned(old))


def test_the_present_version_knows_no_old_kinds():
    with pytest.raises(InvalidInput) as caught:
        parse_tree({"schema_version": 2, "kind": "has_not_tag", "tag_ids": [1]})
    assert list(caught.value.fields) == ["condition.kind"]


WEEK, MARCH = {"last_days": 7}, {"from": "2026-03-01", "to": "2026-03-31"}
CART, PAID = (
    {"event_type_id": 1, "where": [{"property": "price", "op": "gt", "value": 5}]},
    {"event_type_id": 2},
)
SENTENCES = [
    ({"kind": "field", "field": "customer.gender", "op": "equals", "value": 2}, "性别等于女", "gender is female"),
    ({"kind": "field", "field": "customer.name", "op": "not_equals", "value": "王"},
     "昵称有值且不等于「王」", "name has a value other than 「王」"),
    ({"kind": "field", "field": "person.birthday", "op": "anniversary", "days": 7, "calendar": "lunar"},
     "生日的周年（农历）在未来7天内（含今天）", "birthday comes round within the next 7 days (lunar calendar), today included"),
    ({"kind": "field", "field": "person.gender", "op": "any_of", "values": ["male"]}, "性别是「男」之一", "gender is one of 「male」"),
    ({"kind": "field", "field": "person.likes", "op": "is_missing"}, "x没有值", "x has no value"),
    ({"kind": "follow", "state": "deleted_by_customer", "staff_ids": [1], "ended": WEEK},
     "删除了成员（最近7天内结束，成员#1）", "deleted a member: ended within the last 7 days, by #1"),
    ({"kind": "follow", "department_ids": [2], "add_ways": [1]},
     "添加了我方成员（部门d2（含下级），添加方式为扫描二维码）", "is followed: by members of d2 and below, by way of QR code"),
    ({"kind": "has_tag", "tag_group_ids": [1], "match": "none", "sources": ["person"], "since": WEEK},
     "没有标签组g1中的标签（由人工于最近7天内打上）（一个也没有）",
     "has none of the groups g1 set by a person within the last 7 days"),
    ({"kind": "in_group", "joined": MARCH}, "在任一客户群中（2026-03-01至2026-03-31加入）",
     "is in a customer group, joined from 2026-03-01 to 2026-03-31"),
    ({"kind": "event", "event_type_id": 1, "window": WEEK}, "最近7天内有过事1", "did: e1 within the last 7 days"),
    ({"kind": "event", "event_type_id": 1, "op": "equals", "value": 0}, "没有事1", "did not: e1"),
    ({"kind": "event", **CART, "measure": "days", "op": "gte", "value": 3}, "事1（价格大于5）的天数不少于3",
     "did: e1 (price is greater than 5) on at least 3 days"),
    ({"kind": "event", "event_type_id": 1, "measure": "sum", "property": "price", "op": "between", "values": [1, 9.5]},
     "事1价格合计在1到9.5之间", "did: e1 with sum of price between 1 and 9.5"),
    ({"kind": "order", "time": "paid", "shops": ["a"], "measure": "sum", "currency": "CNY", "op": "gte", "value": 100, "window": WEEK},
     "最近7天内付款的订单（门店「a」）金额（CNY）合计不少于100",
     "has orders (shop 「a」) paid within the last 7 days, with sum of amount（CNY） at least 100"),
    ({"kind": "sequence", "first": CART, "then": PAID, "within_hours": 24, "happens": False, "window": WEEK},
     "最近7天内有过事1（价格大于5），之后24小时内没有事2",
     "did: e1 (price is greater than 5) within the last 7 days, and then did not: e2 within 24 hours"),
    ({"kind": "sample", "percent": 10.5, "offset": 20, "salt": "a"}, "抽样「a」的10.5%（从20%起）",
     "is in the 10.5% sample 「a」 from 20% on"),
    ({"kind": "stage", "stages": ["at_risk"], "entered": WEEK}, "处于阶段「流失预警」（最近7天内进入）",
     "is in the stage 「at risk」 entered within the last 7 days"),
    ({"kind": "consent", "channel": "sms", "state": "given"}, "同意通过短信联系", "agreed to be contacted by SMS"),
    ({"kind": "consent", "channel": "shop_call", "state": "withdrawn", "since": WEEK},
     "拒绝通过「shop_call」联系（最近7天内表态）", "refused to be contacted by 「shop_call」, said within the last 7 days"),
    ({"kind": "consent", "channel": "wecom", "state": "never_asked"}, "未表态是否同意通过企业微信联系",
     "never said whether they may be contacted by WeCom"),
    ({"kind": "stage", "stages": ["lead", "lost"]}, "处于阶段「潜客」或「流失」", "is in the stage 「lead」 or 「lost」"),
    ({"kind": "has_tag", "tag_ids": [1, 2], "match": "all"}, "有标签t1、t2（全部）", "has all of the tags t1, t2"),
    ({"kind": "said_keyword", "keywords": ["价格", "price"]}, "说过「价格」或「price」", "wrote 「价格」 or 「price」"),
    ({"kind": "field", "field": "person.gender", "op": "any_of", "values": ["male", "female"]}, "性别是「男」、「女」之一",
     "gender is one of 「male」, 「female」"),
    ({"kind": "field", "field": "person.address.city", "op": "equals", "value": "杭州"}, "地址的城市等于「杭州」",
     "city of address is 「杭州」"),
    ({"kind": "rfm", "figure": "r", "op": "gte", "value": 4}, "R分不小于4", "R score is at least 4"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "zh", "en"), SENTENCES, ids=[zh for _, zh, _ in SENTENCES])
def test_a_condition_is_read_back_as_a_sentence(session, tree, zh, en):
    write_catalogue(session)
    assert words(tree, "zh") == zh
    assert words(tree, "en") == en
