"""Preview: everything a person wants to know before a rule works."""

from sqlalchemy import func, select

from scrm.kernel.clock import utcnow
from scrm.people.models import PersonField
from tags.models import TagAssignment
from tags.sync.queries import calls_take
from tests.tags.cases_of_people import person_of
from tests.tags.conftest import add, throng
from tests.tags.test_api import problem, send
from tests.tags.test_storm import VIP


def test_a_preview_says_how_many_who_why_and_what_wecom_has_to_be_told(api, world, session):
    anna, bert, tag = world.staff(), world.staff(), world.tag()
    both = world.followed(anna, name="vip")
    world.follow(world._add(world.customer(name="vip")), bert)
    from scrm.customers.models import Customer

    world.follow(session.get(Customer, both.customer_id), bert)
    for _ in range(2):
        world.followed(anna, name="x")
    told = send(api, "post", "/rules/preview", {"condition": VIP, "add_tag_ids": [tag.id]})
    assert (told["base"], told["count"], told["customers"], told["share"]) == (4, 2, 2, 0.5)
    assert (told["would_add"], told["staff"], told["wecom_calls"]) == (3, 2, 3)
    assert told["wecom_seconds"] == 0, "three calls go at once"
    leaf = told["samples"][0]["leaves"][0]
    assert (leaf["path"], leaf["holds"], leaf["value"]) == ("condition", True, "vip")
    assert "vip" in leaf["words"]["en"]
    assert session.scalar(select(func.count()).select_from(TagAssignment)) == 0


def test_samples_say_which_leaf_held(api, world):
    tag, other = world.tag(), world.tag()
    follow = world.followed(name="vip")
    send(api, "post", f"/customers/{follow.customer_id}/tags", {"add": [other.id]})
    tree = {"any": [{"kind": "has_tag", "tag_ids": [other.id]}, {**VIP, "value": "x"}]}
    told = send(api, "post", "/rules/preview", {"condition": tree, "add_tag_ids": [tag.id]})
    leaves = [(leaf["path"], leaf["holds"], leaf["value"]) for leaf in told["samples"][0]["leaves"]]
    assert leaves == [("condition.any.0", True, str(other.id)), ("condition.any.1", False, "vip")]


def test_samples_show_of_a_person_what_the_key_may_read(api_with, world, session):
    tag, customer = world.tag(), world.customer(unionid="ox12345678901")
    add(
        PersonField(
            person_id=person_of(customer), field="phone", value="+8613812345678", source="t", at=utcnow()
        )
    )
    asked = [
        {"kind": "field", "field": name, "op": "is_present"} for name in ("person.phone", "customer.unionid")
    ]

    def values(*permissions):
        rule = {"condition": {"all": asked}, "add_tag_ids": [tag.id]}
        [sample] = send(api_with(*permissions), "post", "/rules/preview", rule)["samples"]
        return [leaf["value"] for leaf in sample["leaves"]]

    assert values("rules:read") == ["+86***78", "ox1***01"]
    assert values("rules:read", "people:write") == ["+8613812345678", "ox12345678901"]


def test_samples_show_of_relations_what_those_of_the_key_s_members_have(api, api_with, world):
    anna, bert, tag = world.staff(), world.staff(), world.tag()
    customer = world.customer()
    world.follow(customer, anna, remark="of anna")
    other = world.follow(customer, bert, remark="of bert")
    send(api, "post", f"/customers/{customer.id}/tags", {"add": [tag.id], "staff_id": bert.id})
    remark = {"kind": "field", "field": "follow.remark", "op": "is_present"}
    tree = {"all": [remark, {"kind": "has_tag", "tag_ids": [tag.id]}, {"kind": "follow"}]}

    def told(key, path, body):
        [sample] = send(key, "post", path, {"condition": tree, **body})["samples"]
        return [(leaf["holds"], leaf["value"]) for leaf in sample["leaves"]]

    for path, body in (("/rules/preview", {"add_tag_ids": [tag.id]}), ("/audiences/preview", {})):
        limited = told(api_with("*", staff_ids=[anna.id]), path, body)
        assert [holds for holds, _ in limited] == [True, True, True], "one truth"
        assert limited[:2] == [(True, "of anna"), (True, None)]
        assert told(api, path, body)[:2] == [(True, "of anna | of bert"), (True, str(tag.id))]
    assert other.remark == "of bert"


def test_rivals_of_an_exclusive_group_are_counted(api, world):
    world.group.exclusive = True
    gold, silver = world.tag("gold"), world.tag("silver")
    follow = world.followed(name="vip")
    world.followed(name="vip")
    send(api, "post", f"/customers/{follow.customer_id}/tags", {"add": [silver.id]})
    told = send(api, "post", "/rules/preview", {"condition": VIP, "add_tag_ids": [gold.id]})
    assert (told["would_add"], told["rivals"]) == (2, 1)


def test_many_calls_take_as_long_as_the_hour_allows(api):
    assert 3000 < calls_take(300_000) < 7200, "150,000 an hour"


def test_a_preview_that_takes_too_long_says_so(api, world, rule_limits):
    throng(3_000)
    rule_limits(preview_seconds=0.001)
    body = {"condition": VIP, "add_tag_ids": [world.tag().id for _ in range(10)]}
    answer = send(api, "post", "/rules/preview", body, 504)
    assert (answer["code"], list(answer["fields"])) == ("condition-too-slow", ["condition"])
    assert "0.001 seconds" in answer["detail"]
    assert send(api, "get", "/rules")["items"] == [], "the connection goes on"


def test_an_explanation_that_takes_too_long_says_so_too(api, world, rule_limits):
    follow, tag = world.followed(name="vip"), world.tag()
    leaf = {"kind": "said_keyword", "keywords": ["a"]}
    body = {"name": "r", "condition": {"any": [leaf] * 80}, "add_tag_ids": [tag.id]}
    path = f"/rules/{send(api, 'post', '/rules', body, 201)['id']}/explain"
    assert send(api, "post", path, {"customer_id": follow.customer_id})["holds"] is False
    rule_limits(preview_seconds=0.001)
    answer = send(api, "post", path, {"customer_id": follow.customer_id}, 504)
    assert answer["code"] == "condition-too-slow"


def test_what_a_rule_takes_although_another_gives_it_is_named_on_both_when_they_are_saved(api, world):
    gold, silver = world.tag("gold"), world.tag("silver")
    giver = send(api, "post", "/rules", {"name": "giver", "condition": VIP, "add_tag_ids": [gold.id]}, 201)
    assert giver["conflicts"] == {"zh": [], "en": []}
    body = {"name": "taker", "condition": VIP, "add_tag_ids": [silver.id], "remove_tag_ids": [gold.id]}
    taker = send(api, "post", "/rules", body, 201)
    assert taker["conflicts"]["en"] == [
        "takes away gold, which it never gave: a rule takes away only what it set itself",
        f"takes away gold, which rule {giver['id']} (giver) gives: it stays where that one holds",
    ]
    told = send(api, "get", f"/rules/{giver['id']}")["conflicts"]
    assert f"rule {taker['id']} (taker) takes away" in told["en"][0]
    assert "会去掉它" in told["zh"][0]
    send(api, "patch", f"/rules/{taker['id']}", {"remove_tag_ids": []})
    assert send(api, "get", "/rules")["items"][1]["conflicts"]["en"] == []


def test_a_rule_that_is_refused_is_called_this_one(api, world):
    world.group.exclusive = True
    gold, silver = world.tag("gold"), world.tag("silver")
    body = {"name": "both", "condition": VIP, "add_tag_ids": [gold.id, silver.id]}
    assert problem(api, "post", "/rules", body)[1].startswith("this rule (both) gives gold and silver")
    first = {"name": "a", "condition": {"kind": "has_tag", "tag_ids": [gold.id]}, "add_tag_ids": [silver.id]}
    made = send(api, "post", "/rules", first, 201)["id"]
    back = {"name": "b", "condition": {"kind": "has_tag", "tag_ids": [silver.id]}, "add_tag_ids": [gold.id]}
    told = problem(api, "post", "/rules", back)[1]
    assert told.endswith(f"in a ring: this rule (b) → rule {made} (a) → this rule (b)")
