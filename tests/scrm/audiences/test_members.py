"""Who belongs: counts, pages with reasons, previews, and lists that people fill; always within the key's data scope."""

from sqlalchemy import select, update

from scrm.audiences.models import Audience, AudienceMember
from scrm.audiences.service.members import add_members, remove_members
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.people.models import CustomField, PersonField
from tests.scrm.audiences.conftest import call, members, named, within
from tests.tags.cases_of_people import person_of
from tests.tags.conftest import add


def test_a_condition_is_tried_out_with_count_sentence_and_reasons(api, world):
    yes, _no = world.customer(name="王"), world.customer(name="李")
    told = call(api, "post", "/audiences/preview", {"condition": {"any": [named("王"), named("周")]}})
    assert told["count"] == 1
    assert told["as_of"]
    assert told["words"]["zh"] == "（昵称等于「王」 或 昵称等于「周」）"
    [sample] = told["samples"]
    assert sample["customer_id"] == yes.id
    assert [(leaf["holds"], leaf["value"]) for leaf in sample["leaves"]] == [(True, "王"), (False, "王")]


def test_members_come_in_pages_with_every_leafs_answer(api, world, tree):
    id_ = tree("王", {"any": [named("王"), named("李")]})
    ids = [world.customer(name=name).id for name in ("王", "李", "王", "周")]
    first = call(api, "get", f"/audiences/{id_}/members?limit=2")
    rest = call(api, "get", f"/audiences/{id_}/members?limit=2&cursor={first['next_cursor']}")
    assert [each["customer_id"] for each in first["items"] + rest["items"]] == [ids[2], ids[1], ids[0]]
    assert rest["next_cursor"] is None
    assert [leaf["holds"] for leaf in first["items"][1]["leaves"]] == [False, True]
    assert call(api, "get", f"/audiences/{id_}/count")["count"] == 3


def test_a_limited_key_sees_counts_and_pages_only_of_its_own_customers(api_with, world, tree, listing):
    ours, theirs = world.staff(), world.staff()
    mine, other = world.followed(ours, name="王"), world.followed(theirs, name="王")
    id_ = tree("王", named("王"))
    limited = api_with("*", staff_ids=[ours.id])
    assert call(limited, "get", f"/audiences/{id_}/count")["count"] == 1
    assert members(limited, id_) == {mine.customer_id}
    assert call(limited, "post", "/audiences/preview", {"condition": named("王")})["count"] == 1
    list_id = listing("名单")
    rows = {"customers": [{"customer_id": mine.customer_id}, {"customer_id": other.customer_id}]}
    results = call(limited, "post", f"/audiences/{list_id}/members:add", rows)["results"]
    assert [each["status"] for each in results] == ["added", "refused"]
    assert call(limited, "post", f"/audiences/{list_id}/members:fill", {"audience_id": id_})["added"] == 0


def test_a_list_takes_customers_by_both_ids_and_answers_row_by_row(api, api_with, world, listing):
    one, two = world.customer(), world.customer()
    id_ = listing("名单")
    rows = [
        {"customer_id": one.id},
        {"external_userid": two.external_userid},
        {"customer_id": 10**12},
        {"external_userid": "nobody"},
        {"customer_id": one.id},
    ]
    results = call(api, "post", f"/audiences/{id_}/members:add", {"customers": rows})["results"]
    assert [each["status"] for each in results] == ["added", "added", "refused", "refused", "unchanged"]
    assert [each.get("customer_id") for each in results] == [one.id, two.id, None, None, one.id]
    assert list(results[3]["problem"]) == ["external_userid"]
    results = call(api, "post", f"/audiences/{id_}/members:remove", {"customers": rows[:3]})["results"]
    assert [each["status"] for each in results] == ["removed", "removed", "refused"]
    told = [each["changes"] for each in call(api, "get", f"/audiences/{id_}/history")["items"]]
    unseen = call(api_with("*", staff_ids=[world.staff().id]), "get", f"/audiences/{id_}/history")["items"]
    assert {each["changes"].get("members") for each in unseen} == {None}  # numbers of everybody's customers
    assert told[:2] == [{"members": {"added": 0, "removed": 2}}, {"members": {"added": 2, "removed": 0}}]


def test_rows_that_name_a_customer_twice_or_not_at_all_are_refused(api, world, listing):
    id_ = listing("名单")
    for row in ({}, {"customer_id": 1, "external_userid": "x"}, {"customer_id": "1"}):
        call(api, "post", f"/audiences/{id_}/members:add", {"customers": [row]}, 422)
    call(api, "post", f"/audiences/{id_}/members:add", {"customers": [{"customer_id": 1}] * 1001}, 422)


def test_a_member_of_a_list_says_what_put_them_there(api, world, listing):
    customer = world.customer()
    id_ = listing("名单")
    with transaction():
        assert add_members(id_, [customer.id, 10**12], "import:7") == 1
        assert add_members(id_, [customer.id], "import:8") == 0
    [item] = call(api, "get", f"/audiences/{id_}/members")["items"]
    assert (item["source"], item["leaves"][0]["words"]["zh"]) == ("import:7", "在人群名单中")


def test_the_batches_of_one_import_are_one_line_of_history(api, world, listing):
    id_, ids = listing("名单"), [world.customer().id for _ in range(4)]
    with transaction():
        for each in ids[:3]:
            add_members(id_, [each], "import:7")
        remove_members(id_, ids[:1], "import:7")
        add_members(id_, ids[3:], "import:8")
    told = [each["changes"] for each in call(api, "get", f"/audiences/{id_}/history")["items"]]
    assert told[:2] == [{"members": {"added": 1, "removed": 0}}, {"members": {"added": 3, "removed": 1}}]


def test_a_copy_stays_what_it_was_when_the_condition_moves_on(api, world, tree, listing, session):
    was, becomes = world.customer(name="王"), world.customer(name="李")
    live, frozen = tree("王", named("王")), listing("三月的王")
    assert call(api, "post", f"/audiences/{frozen}/members:fill", {"audience_id": live})["added"] == 1
    was.name, becomes.name = "李", "王"
    session.flush()
    assert members(api, live) == {becomes.id}
    assert members(api, frozen) == {was.id}
    assert (
        call(api, "post", f"/audiences/{frozen}/members:fill", {"condition": within(frozen, live)})["added"]
        == 1
    )
    sources = session.scalars(select(AudienceMember.source).where(AudienceMember.audience_id == frozen)).all()
    assert all(source.startswith("apikey:") for source in sources)


def test_only_a_list_is_filled_by_hand_and_an_archived_one_is_not(api, world, tree, listing):
    live, old = tree("王", named("王")), listing("旧")
    call(api, "post", f"/audiences/{old}/archive")
    for id_ in (live, old):
        call(api, "post", f"/audiences/{id_}/members:fill", {"condition": named("x")}, 409)
        call(api, "post", f"/audiences/{id_}/members:add", {"customers": [{"customer_id": 1}]}, 409)
    call(api, "patch", f"/audiences/{old}", {"condition": named("x")}, 422)
    call(api, "post", f"/audiences/{old}/members:fill", {"condition": named("x"), "audience_id": live}, 422)


def test_one_customer_is_explained_and_has_a_list_of_audiences(api, api_with, world, tree, listing, session):
    customer, other = world.customer(name="王"), world.customer(name="李")
    live = tree("王", {"any": [named("王"), named("周")]})
    ids = [live, listing("名单", customer), tree("不是", {"not": named("王")})]
    told = call(api, "post", f"/audiences/{live}/explain", {"customer_id": customer.id, "language": "en"})
    assert (told["belongs"], [each["holds"] for each in told["condition"]["any"]]) == (True, [True, False])
    old, broken = listing("旧", customer), tree("坏", named("a"))
    call(api, "post", f"/audiences/{old}/archive")
    session.execute(update(Audience).where(Audience.id == broken).values(condition={"kind": "gone"}))
    found = call(api, "get", f"/customers/{customer.id}/audiences")["items"]
    assert {each["id"] for each in found} == {ids[0], ids[1]}
    assert [each["name"] for each in call(api, "get", f"/customers/{other.id}/audiences")["items"]] == [
        "不是"
    ]
    limited = api_with("*", staff_ids=[world.staff().id])
    call(limited, "get", f"/customers/{customer.id}/audiences", status=404)
    call(limited, "post", f"/audiences/{live}/explain", {"customer_id": customer.id}, 404)


def test_questions_about_one_customer_are_stopped_when_they_take_too_long(api, world, tree, rule_limits):
    customer = world.customer(name="王")
    ids = [tree(f"{n}", {"any": [{"kind": "said_keyword", "keywords": ["a"]}] * 80}) for n in range(3)]
    explain = f"/audiences/{ids[0]}/explain", {"customer_id": customer.id}
    rule_limits(preview_seconds=0.001)
    told = (
        call(api, "post", *explain, 504),
        call(api, "get", f"/customers/{customer.id}/audiences", status=504),
    )
    assert [each["code"] for each in told] == ["condition-too-slow"] * 2
    assert "all 3 audiences" in told[1]["detail"]
    rule_limits(preview_seconds=30)
    assert call(api, "get", f"/customers/{customer.id}/audiences")["items"] == []


def test_values_in_reasons_are_masked_like_those_of_an_export(api, api_with, world, tree, session):
    customer = world.customer(unionid="ox12345678901")
    person = person_of(customer)
    secret = {"type": "text", "name_zh": "密", "name_en": "secret", "survivorship": "newest"}
    add(CustomField(key="secret", seen_with=["orders:read"], **secret))
    for key, value in {"phone": "+8613812345678", "secret": "x1", "company": "甲"}.items():
        add(PersonField(person_id=person, field=key, value=value, source="t", at=utcnow()))
    asked = ["person.phone", "customer.unionid", "person.secret", "person.company"]
    condition = {"all": [{"kind": "field", "field": name, "op": "is_present"} for name in asked]}
    id_ = tree("全", condition)

    def values(client):
        pages = call(client, "get", f"/audiences/{id_}/members")["items"]
        seen = [leaf["value"] for leaf in pages[0]["leaves"]]
        allowed = {
            "all": [each for each, value in zip(condition["all"], seen, strict=True) if value != "***"]
        }
        tried = call(client, "post", "/audiences/preview", {"condition": allowed})["samples"]
        assert [leaf["value"] for leaf in tried[0]["leaves"]] == [value for value in seen if value != "***"]
        return seen

    assert values(api_with("audiences:read")) == ["+86***78", "ox1***01", "***", "甲"]
    assert values(api_with("audiences:read", "people:write", "orders:read")) == [
        "+8613812345678", "ox12345678901", "x1", "甲",
    ]  # fmt: skip
