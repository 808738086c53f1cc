"""A condition may ask what its author may read: a count says yes or no as well as a value does."""

import pytest

from scrm.people.models import CustomField
from tests.tags.conftest import add
from tests.tags.test_api import send

SECRET = {"kind": "field", "field": "person.secret", "op": "equals", "value": "x1"}
ENOUGH = (
    "rules:read",
    "rules:write",
    "audiences:read",
    "audiences:write",
    "broadcasts:send",
    "transfers:write",
)


def asks(field, op="equals", **args):
    return {"kind": "field", "field": field, "op": op, **args}


@pytest.fixture
def secret(world):
    text = {"type": "text", "name_zh": "密", "name_en": "secret", "survivorship": "newest"}
    return add(CustomField(key="secret", seen_with=["orders:read", "value:read"], **text))


def places(world, condition):
    """Everywhere a condition is given: path, body, and where the condition stands in it."""
    text = {"name": "r", "condition": condition, "add_tag_ids": [world.tag().id]}
    plan = {"kind": "on_job", "from_staff_id": world.staff().id, "what": "customers"}
    share = {"condition": condition, "members": [{"staff_id": world.staff().id}]}
    message = {"kind": "customers", "name": "b", "text": "t"}
    return [
        ("/conditions/count", {"condition": condition}, "condition"),
        ("/rules/preview", {"condition": condition, "add_tag_ids": text["add_tag_ids"]}, "condition"),
        ("/rules", text, "condition"),
        ("/audiences/preview", {"condition": condition}, "condition"),
        ("/audiences", {"kind": "tree", "name": "a", "condition": condition}, "condition"),
        ("/broadcasts", {**message, "audience": {"condition": condition}}, "audience.condition"),
        ("/transfers/plans", {**plan, "rule": {"shares": [share]}}, "rule.shares.0.condition"),
    ]


def refused(answer):
    [(path, problem)] = answer["fields"].items()
    return path, problem


def test_a_field_that_is_hidden_from_a_key_cannot_be_asked_about_anywhere(api_with, world, secret):
    key = api_with(*ENOUGH)
    for path, body, at in places(world, {"all": [{"kind": "follow"}, {"not": SECRET}]}):
        where, problem = refused(send(key, "post", path, body, 403))
        assert where == f"{at}.all.1.not.field", path
        assert problem.endswith("person.secret: it needs orders:read or value:read")
    there = asks("person.secret", "is_present")
    assert refused(send(key, "post", "/conditions/count", {"condition": there}, 403))[0] == "condition.field"
    allowed = api_with(*ENOUGH, "value:read")
    assert send(allowed, "post", "/conditions/count", {"condition": SECRET})["count"] == 0


def test_changes_and_fillings_are_refused_too(api, api_with, world, secret):
    key, text = api_with(*ENOUGH), {"condition": SECRET}
    rule = {"name": "r", "condition": {"kind": "follow"}, "add_tag_ids": [world.tag().id]}
    tree = {"kind": "tree", "name": "a", "condition": {"kind": "follow"}}
    made = [
        send(api, "post", path, body, 201)["id"] for path, body in (("/rules", rule), ("/audiences", tree))
    ]
    full = send(api, "post", "/audiences", {"kind": "static", "name": "l"}, 201)["id"]
    for path in (f"/rules/{made[0]}", f"/audiences/{made[1]}"):
        send(key, "patch", path, text, 403)
        send(key, "patch", path, {"name": "other"})
        send(api, "patch", path, text)
        send(key, "patch", path, {"name": "again"})
    send(key, "post", f"/audiences/{full}/members:fill", text, 403)


def test_an_audience_comes_out_of_the_archive_only_for_those_who_may_ask_what_it_asks(
    api, api_with, world, secret
):
    key = api_with(*ENOUGH)
    tree = {"kind": "tree", "name": "a", "condition": SECRET}
    path = f"/audiences/{send(api, 'post', '/audiences', tree, 201)['id']}"
    send(key, "post", f"{path}/archive", {})
    assert refused(send(key, "post", f"{path}/restore", {}, 403))[0] == "condition.field"
    assert send(api, "get", path)["archived_at"] is not None
    send(api, "patch", path, {"condition": asks("person.name", value="x")})
    send(key, "post", f"{path}/restore", {})
    listed = send(api, "post", "/audiences", {"kind": "static", "name": "l"}, 201)["id"]
    send(key, "post", f"/audiences/{listed}/archive", {})
    send(key, "post", f"/audiences/{listed}/restore", {})
    send(key, "post", "/audiences/999999/restore", {}, 404)


def test_an_older_version_says_no_more_than_its_restorer_may_ask(api, api_with, world, secret):
    key = api_with(*ENOUGH)
    body = {"name": "r", "condition": SECRET, "add_tag_ids": [world.tag().id]}
    path = f"/rules/{send(api, 'post', '/rules', body, 201)['id']}"
    send(key, "patch", path, {"condition": {"kind": "follow"}})
    assert refused(send(key, "post", f"{path}/versions/1/activate", {}, 403))[0] == "condition.field"
    send(key, "post", f"{path}/versions/9/activate", {}, 404)
    send(api, "post", f"{path}/versions/1/activate", {})


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (asks("person.phone", value="+8613812345678"), 403),
        (asks("person.email", "contains", value="@a"), 403),
        (asks("customer.unionid", "starts_with", value="o"), 403),
        (asks("follow.remark_mobiles", "contains", value="138"), 403),
        (asks("person.address.street", value="x"), 403),
        (asks("person.address.city", value="x"), 200),
        (asks("person.phone", "is_present"), 200),
        (asks("customer.unionid", "is_missing"), 200),
        (asks("follow.remark", value="x"), 200),
        (asks("person.name", value="x"), 200),
    ],
)
def test_of_a_masked_value_may_be_asked_whether_it_is_there(api_with, world, condition, status):
    answer = send(api_with("rules:read"), "post", "/conditions/count", {"condition": condition}, status)
    if status == 403:
        assert refused(answer)[1].endswith("it needs people:write")
        send(api_with("rules:read", "people:write"), "post", "/conditions/count", {"condition": condition})
