"""Why a customer has a tag: what the rule said and saw then, whatever is so now."""

from sqlalchemy import select

from scrm.customers.models import Customer
from scrm.kernel.db import transaction
from tags.models import TagHistory
from tags.rules.service import saving
from tags.rules.service.reasons import MAX_BYTES, snapshot
from tests.tags.test_api import send
from tests.tags.test_rules import backfill, evaluate, make_rule, rename

NAME = {"kind": "field", "field": "customer.name", "op": "equals"}


def why(api, follow, tag, status=200):
    return send(api, "get", f"/customers/{follow.customer_id}/tags/{tag.id}/why", status=status)


def test_the_answer_names_rule_version_run_leaves_and_values_of_that_time(api, world):
    follow, tag, other = world.followed(name="vip"), world.tag("gold"), world.tag("x")
    tree = {"any": [{**NAME, "value": "vip"}, {"kind": "has_tag", "tag_ids": [other.id]}]}
    rule = make_rule(tree, tag, name="VIPs", keep=True)
    run = backfill(rule)
    rename(follow.customer_id, "somebody")
    evaluate()
    with transaction():
        saving.change_rule(rule.id, {"condition": {**NAME, "value": "else"}}, "test")
    told = why(api, follow, tag)
    assert told["tag"] == "gold"
    (reason,) = told["reasons"]
    assert (reason["source"], reason["rule"], reason["version"], reason["run_id"]) == (
        f"rule:{rule.id}", "VIPs", 1, run.id,
    )  # fmt: skip
    assert "vip" in reason["condition"]["en"]
    seen = [(leaf["path"], leaf["holds"], leaf["value"]) for leaf in reason["leaves"]]
    assert seen == [("condition.any.0", True, "vip"), ("condition.any.1", False, None)]
    assert "vip" in reason["leaves"][0]["words"]["en"]


def test_values_are_masked_as_in_the_view_of_a_person(api, api_with, world, session):
    follow, tag = world.followed(name="x"), world.tag()
    session.get(Customer, follow.customer_id).unionid = "ox12345678901"
    session.flush()
    backfill(make_rule({"kind": "field", "field": "customer.unionid", "op": "is_present"}, tag))
    values = [
        why(api_with(*held), follow, tag)["reasons"][0]["leaves"][0]["value"]
        for held in (["customers:read"], ["customers:read", "people:write"])
    ]
    assert values == ["ox1***01", "ox12345678901"]


def test_what_relations_of_others_said_is_not_told(api, api_with, world):
    anna, bert, tag = world.staff(), world.staff(), world.tag()
    customer = world.customer(name="x")
    follow = world.follow(customer, anna, remark="of anna")
    world.follow(customer, bert, remark="of bert")
    remark = {"kind": "field", "field": "follow.remark", "op": "is_present"}
    backfill(make_rule({"all": [remark, {**NAME, "value": "x"}]}, tag))
    values = [
        [leaf["value"] for leaf in why(key, follow, tag)["reasons"][0]["leaves"]]
        for key in (api, api_with("*", staff_ids=[anna.id]))
    ]
    assert values == [["of anna | of bert", "x"], ["***", "x"]]


def test_a_change_of_the_customer_is_kept_with_its_reason_too(api, world):
    follow, tag = world.followed(name="x"), world.tag()
    make_rule({**NAME, "value": "vip"}, tag)
    rename(follow.customer_id, "vip")
    evaluate()
    (reason,) = why(api, follow, tag)["reasons"]
    assert (reason["run_id"], reason["leaves"][0]["value"]) == (None, "vip")


def test_a_person_is_named_beside_the_rule_and_others_customers_are_not_seen(api, api_with, world):
    follow, tag = world.followed(name="vip"), world.tag()
    backfill(make_rule({**NAME, "value": "vip"}, tag))
    send(api, "post", f"/customers/{follow.customer_id}/tags", {"add": [tag.id]})
    sources = [reason["source"].partition(":")[0] for reason in why(api, follow, tag)["reasons"]]
    assert sources == ["rule", "manual"]
    why(api_with(staff_ids=[world.staff().id]), follow, tag, 404)
    assert why(api, follow, world.tag())["reasons"] == []


def test_a_snapshot_is_bounded(world, session):
    long = "多" * 90
    small = snapshot(1, ["a", "b"], [True, False], ["v", None])
    assert small == {"version": 1, "leaves": {"a": [True, "v"], "b": [False]}}
    paths = [f"condition.all.{i}" for i in range(100)]
    big = snapshot(1, paths, [True] * 100, [long] * 100)
    assert big["leaves"]["condition.all.7"] == [True], f"more than {MAX_BYTES} bytes with the values"
    follow, tag = world.followed(name="n" * 300), world.tag()
    backfill(make_rule({**NAME, "op": "contains", "value": "n"}, tag))
    reason = session.scalars(select(TagHistory.reason).where(TagHistory.follow_id == follow.id)).one()
    assert len(reason["leaves"]["condition"][1]) == 100
