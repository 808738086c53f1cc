"""A condition may ask what its author may read: a count says yes or no as well as a value does."""

import json

import pytest

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.people.models import CustomField, PersonField
from tags.models import Rule
from tests.tags.cases_of_people import person_of
from tests.tags.conftest import add
from tests.tags.test_api import send
from tests.tags.test_rules import backfill

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


PHONE = asks("person.phone", value="+8613812345678")
UNTOLD = {"zh": "（此密钥无权查看的条件）", "en": "(a condition that this key may not read)"}
NAMED = asks("customer.name", value="x")


@pytest.fixture
def known(world, secret):
    """A customer called x with a secret and a phone."""
    follow = world.followed(name="x")
    person = person_of(session().get(Customer, follow.customer_id))
    for field, value in (("secret", "x1"), ("phone", "+8613812345678")):
        add(PersonField(person_id=person, field=field, value=value, source="t", at=utcnow()))
    return follow


def nowhere(answer):
    """What is hidden does not stand anywhere in an answer."""
    told = json.dumps(answer, ensure_ascii=False)
    return not any(each in told for each in ("x1", "13812345678", "secret"))


def test_what_others_saved_tells_who_belongs_and_not_what_the_reader_may_not_ask(api, api_with, known):
    tree = {"all": [NAMED, {"not": {"any": [SECRET, {"not": PHONE}]}}]}
    id_ = send(api, "post", "/audiences", {"kind": "tree", "name": "a", "condition": {"not": tree}}, 201)[
        "id"
    ]
    send(api, "patch", f"/audiences/{id_}", {"condition": {"all": [NAMED, SECRET, {"not": {"not": PHONE}}]}})
    key = api_with("audiences:read")
    assert send(key, "get", f"/audiences/{id_}/count")["count"] == 1
    [member] = send(key, "get", f"/audiences/{id_}/members")["items"]
    assert [leaf["holds"] for leaf in member["leaves"]] == [True, None, None]
    assert [leaf["value"] for leaf in member["leaves"]] == ["x", "***", "***"]
    assert [leaf["words"] for leaf in member["leaves"]][1:] == [UNTOLD, UNTOLD]
    why = send(key, "post", f"/audiences/{id_}/explain", {"customer_id": known.customer_id})
    assert why["belongs"] is True
    assert [each["holds"] for each in why["condition"]["all"]] == [True, None, None]
    assert why["condition"]["all"][2]["not"]["holds"] is None
    shown = send(key, "get", f"/audiences/{id_}")
    assert shown["words"]["en"] == f"(name is 「x」 and {UNTOLD['en']} and not (not ({UNTOLD['en']})))"
    hidden = {"kind": "***"}
    assert shown["condition"]["all"] == [NAMED, hidden, {"not": {"not": hidden}}]
    history = send(key, "get", f"/audiences/{id_}/history")
    listed = send(key, "get", "/audiences")
    assert all(map(nowhere, (member, why, shown, history, listed)))
    full = send(
        api, "post", f"/audiences/{id_}/explain", {"customer_id": known.customer_id, "language": "en"}
    )
    assert [each["holds"] for each in full["condition"]["all"]] == [True, True, True]
    assert full["condition"]["all"][1]["words"] == "secret is 「x1」"


def test_rules_and_their_reasons_hide_it_too(api, api_with, known, world):
    tag = world.tag()
    body = {"name": "r", "condition": {"all": [NAMED, SECRET]}, "add_tag_ids": [tag.id], "state": "active"}
    id_ = send(api, "post", "/rules", body, 201)["id"]
    send(api, "patch", f"/rules/{id_}", {"condition": {"all": [SECRET, PHONE]}})
    backfill(session().get(Rule, id_))
    key = api_with("rules:read", "customers:read")
    shown = send(key, "get", f"/rules/{id_}")
    assert (shown["condition"]["all"], shown["reads"]) == ([{"kind": "***"}] * 2, ["field:phone"])
    explained = send(key, "post", f"/rules/{id_}/explain", {"customer_id": known.customer_id})
    assert [each["holds"] for each in explained["condition"]["all"]] == [None, None]
    reasons = send(key, "get", f"/customers/{known.customer_id}/tags/{tag.id}/why")
    [reason] = reasons["reasons"]
    assert [(leaf["holds"], leaf["value"]) for leaf in reason["leaves"]] == [(None, "***")] * 2
    versions = send(key, "get", f"/rules/{id_}/versions")
    assert all(map(nowhere, (shown, explained, reasons, versions, send(key, "get", "/rules"))))
    [told] = send(api, "get", f"/customers/{known.customer_id}/tags/{tag.id}/why")["reasons"]
    assert [(leaf["holds"], leaf["value"]) for leaf in told["leaves"]] == [
        (True, "x1"),
        (True, "+8613812345678"),
    ]


def test_fills_of_lists_hide_it_too(api, api_with, known, configure):
    configure(audiences={"fill_at_once": 0})
    listed = send(api, "post", "/audiences", {"kind": "static", "name": "l"}, 201)["id"]
    path = f"/audiences/{listed}/members:fill"
    fill = send(api, "post", path, {"condition": {"any": [SECRET, {"not": SECRET}]}}, 202)["fill"]
    key = api_with("audiences:read", "audiences:write")
    shown = send(key, "get", f"/audience-fills/{fill['id']}")
    assert shown["condition"]["any"] == [{"kind": "***"}, {"not": {"kind": "***"}}]
    stopped = send(key, "post", f"/audience-fills/{fill['id']}/cancel", {})
    assert all(map(nowhere, (shown, stopped, send(key, "get", f"/audiences/{listed}/fills"))))
    assert "x1" in json.dumps(send(api, "get", f"/audience-fills/{fill['id']}"))


def test_plans_and_broadcasts_hide_it_too(api, api_with, known, world):
    made = {
        path: send(api, "post", path, body, 201)["id"]
        for path, body, _ in places(world, {"all": [NAMED, SECRET]})
        if path in ("/broadcasts", "/transfers/plans")
    }
    key = api_with("broadcasts:read", "transfers:read", "transfers:write")
    hidden = [NAMED, {"kind": "***"}]
    message = send(key, "get", f"/broadcasts/{made['/broadcasts']}")
    assert message["audience"]["condition"]["all"] == hidden
    plan = send(key, "get", f"/transfers/plans/{made['/transfers/plans']}")
    assert plan["rule"]["shares"][0]["condition"]["all"] == hidden
    assert (plan["what"], plan["totals"]) == ("customers", {})
    assert all(map(nowhere, (message, plan, send(key, "get", "/transfers/plans"))))
    assert "x1" in json.dumps(send(api, "get", f"/broadcasts/{made['/broadcasts']}"))


def test_an_archived_field_stays_hidden(api, api_with, known, secret):
    id_ = send(api, "post", "/audiences", {"kind": "tree", "name": "a", "condition": SECRET}, 201)["id"]
    send(api, "patch", "/fields/secret", {"archived": True})
    [member] = send(api_with("audiences:read"), "get", f"/audiences/{id_}/members")["items"]
    assert nowhere(member)
    send(api_with("audiences:read", "rules:read"), "post", "/conditions/count", {"condition": SECRET}, 403)


def test_a_question_that_takes_too_long_does_not_tell_it_either(api, api_with, known, world, rule_limits):
    tree = {"any": [SECRET] * 80}
    id_ = send(api, "post", "/audiences", {"kind": "tree", "name": "a", "condition": tree}, 201)["id"]
    body = {"name": "r", "condition": tree, "add_tag_ids": [world.tag().id]}
    rule = send(api, "post", "/rules", body, 201)["id"]
    rule_limits(preview_seconds=0.001)
    key, customer = api_with("audiences:read", "rules:read"), {"customer_id": known.customer_id}
    told = [
        send(key, "post", f"/audiences/{id_}/explain", customer, 504),
        send(key, "post", f"/rules/{rule}/explain", customer, 504),
    ]
    assert all(map(nowhere, told))
    assert all("condition.any." in each["detail"] for each in told), "where it stands is told"
