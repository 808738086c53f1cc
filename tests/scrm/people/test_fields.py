"""Fields of people: what is right, which value stands, who sees and writes it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from scrm.customers.models import Customer, Follow
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.people import jobs
from scrm.people.queries.fields import BUILT_IN, FieldSpec, FieldType
from scrm.people.queries.work import choosing_due
from scrm.people.service.checking import checked, sensitive_number
from scrm.people.service.values import Said, write_values
from scrm.staff.models import Staff
from tests.profiles import examples
from tests.scrm.media.conftest import JPG, upload_form

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
LEVELS = [{"value": v, "zh": v, "en": v} for v in ("a", "b", "c")]
BUILT = {spec.key: spec for spec in BUILT_IN}


def spec(kind, choices=(), **limits):
    return FieldSpec("x", FieldType(kind), "某", "x", choices=tuple(choices), limits=limits)


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        (spec("text"), " 甲 ", "甲"),
        (spec("text", pattern="[A-Z]{2}"), "AB", "AB"),
        (spec("number", min=1, max=9), 2.5, 2.5),
        (spec("date"), "1990-05-17", "1990-05-17"),
        (spec("choice", LEVELS), "b", "b"),
        (spec("multi_choice", LEVELS), ["c", "a", "c"], ["a", "c"]),
        (spec("phone"), "139 1234 5670", "+8613912345670"),
        (spec("email"), "a@B.cn", "a@b.cn"),
        (spec("address"), {"street": "南京路 1", "city": "上海", "district": ""}, {"city": "上海", "street": "南京路 1"}),
        (spec("address"), "南京路 1", {"street": "南京路 1"}),
        (spec("file"), 7, 7),
        (BUILT["birthday"], None, None),
    ],
)  # fmt: skip
def test_values_are_kept_in_one_form(session, field, given, kept):
    assert checked(field, given) == kept


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|a)*", "(.*)*b", "a*a*a*a*a*a*b"])
def test_no_pattern_of_a_company_holds_a_process(session, pattern):
    field, began = spec("text", pattern=pattern), time.monotonic()
    with pytest.raises(ValueError, match="must be of the form"):
        checked(field, "a" * 400 + "!")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", "a)|(b", "(a{1000}){1000}"])
def test_a_pattern_that_cannot_be_worked_with_is_refused_when_it_is_defined(session, api, pattern):
    field = {"key": "no", "type": "text", "name_zh": "号", "name_en": "no", "limits": {"pattern": pattern}}
    answer = api.post("/api/v1/fields", json=field)
    assert answer.status_code == 422
    assert "is no regular expression for this" in answer.json["fields"]["limits.pattern"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (spec("text"), ""), (spec("text"), 5), (spec("text", max_length=2), "abc"), (spec("text"), "a\0"),
        (spec("text", pattern="[A-Z]{2}"), "ABC"), (spec("text"), "身份证 11010519491231002X"),
        (spec("text"), "卡 6222021234567890128"), (spec("number"), True), (spec("number"), "5"),
        (spec("number"), float("nan")), (spec("number", min=1), 0), (spec("date"), "17.5.1990"),
        (spec("date", min="2000-01-01"), "1999-12-31"), (BUILT["birthday"], "2999-01-01"),
        (BUILT["birthday"], "1850-01-01"), (spec("choice", LEVELS), "z"), (spec("multi_choice", LEVELS), "a"),
        (spec("multi_choice", LEVELS), ["a", "z"]), (spec("phone"), "12"), (spec("phone"), "13888888888"),
        (spec("email"), "a@"), (spec("address"), {}), (spec("address"), {"planet": "x"}), (spec("file"), "7"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_way_out(session, field, given):
    with pytest.raises(ValueError, match=r"must|is no|is a|holds"):
        checked(field, given)


def test_long_numbers_that_are_no_identity_or_bank_cards_are_kept():
    assert (
        sensitive_number("订单 202603021234567890 和 11010519491231002X")
        == "an identity card number 身份证号"
    )
    assert sensitive_number("110105194912310021, 6222021234567890121, 0000000000000000") is None


SOURCES = ("staff", "mall", "wecom")
SAID = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(["甲", "乙", "丙", None]), st.integers(0, 3)),
    max_size=7,
)


def stands(rule, said):
    """The simple way: sort everything that was said (the later row counts where times are equal)."""
    distinct = list(dict.fromkeys(said))
    if not distinct:
        return None

    def rank(numbered):
        place, (source, value, day) = numbered
        trust = -(["staff", "wecom"].index(source) if source != "mall" else 99)
        often = sum(1 for one in distinct if one[1] == value)
        first = {"newest": 0, "trusted": trust, "frequent": often}[rule]
        return first, day, place

    return max(enumerate(distinct), key=rank)[1][1]


@examples(12, phases=[Phase.explicit, Phase.generate])
@given(said=SAID)
def test_the_standing_value_follows_the_rule_whatever_comes_in_which_order(found, rows, said):
    db.session.remove()
    example = db.engine.begin_nested()
    (person,) = found({"unionid": "u"})
    fields = {"company": "newest", "name": "trusted", "gender": "frequent"}
    for field in fields:
        for source, value, day in said:
            with transaction():
                write_values([Said(person, field, value, source, NOON + timedelta(days=day))])
    standing = dict(rows("SELECT field, value FROM person_fields"))
    expected = {field: stands(rule, said) for field, rule in fields.items()}
    assert standing == {field: value for field, value in expected.items() if value is not None}
    db.session.remove()
    example.rollback()


LEVEL = {"key": "level", "type": "choice", "name_zh": "等级", "name_en": "level", "choices": LEVELS}


def test_a_field_is_defined_written_read_and_put_away(api, found):
    assert api.post("/api/v1/fields", json=LEVEL).status_code == 201
    assert api.post("/api/v1/fields", json=LEVEL).status_code == 409
    assert api.post("/api/v1/fields", json={**LEVEL, "key": "name"}).status_code == 409
    (person,) = found({"unionid": "u1"})
    address = f"/api/v1/people/{person}/fields"
    answer = api.patch(address, json={"values": {"level": "b", "name": "梅"}})
    shown = {field["key"]: (field["value"], field["source"]) for field in answer.json["fields"]}
    assert shown["level"] == ("b", "staff")
    assert shown["name"] == ("梅", "staff")
    assert shown["email"] == (None, None)
    assert api.patch(address, json={"values": {"level": None}}).status_code == 200
    said = api.get(f"{address}/level/values").json["items"]
    assert [one["value"] for one in said] == [None, "b"]
    assert api.patch("/api/v1/fields/level", json={"archived": True}).json["archived"]
    assert "level" not in [field["key"] for field in api.get("/api/v1/fields").json["items"]]
    assert "values.level" in api.patch(address, json={"values": {"level": "a"}}).json["fields"]


def test_wrong_values_are_all_named_and_none_is_written(api, found, rows):
    api.post("/api/v1/fields", json={**LEVEL, "required": True})
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    (person,) = found({"unionid": "u1"})
    wrong = {"level": None, "email": "x", "planet": 1, "photo": 99, "name": "梅"}
    answer = api.patch(f"/api/v1/people/{person}/fields", json={"values": wrong})
    assert answer.status_code == 422
    assert set(answer.json["fields"]) == {"values.level", "values.email", "values.planet", "values.photo"}
    assert rows("SELECT count(*) FROM person_values") == [(0,)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": []}, {"type": "text"}, {"choices": [*LEVELS, LEVELS[0]]}, {"limits": {"max": 1}},
        {"type": "text", "choices": [], "limits": {"pattern": "("}}, {"key": "Level"}, {"type": "blob"},
        {"type": "number", "choices": [], "limits": {"min": 2, "max": 1}}, {"seen_with": ["root"]},
        {"type": "date", "choices": [], "limits": {"min": "soon"}}, {"survivorship": "loudest"},
    ],
)  # fmt: skip
def test_definitions_that_make_no_sense_are_refused(api, wrong):
    answer = api.post("/api/v1/fields", json={**LEVEL, **wrong})
    assert answer.status_code == 422
    assert answer.json["fields"]


def test_a_new_rule_chooses_again_for_everybody(api, found, rows):
    api.post("/api/v1/fields", json={**LEVEL, "survivorship": "newest"})
    (person,) = found({"unionid": "u1"})
    with transaction():
        write_values([
            Said(person, "level", "a", "mall", NOON), Said(person, "level", "b", "till", NOON + timedelta(1)),
        ])  # fmt: skip
    assert rows("SELECT value FROM person_fields") == [("b",)]
    api.patch("/api/v1/fields/level", json={"survivorship": "trusted", "trusted": ["mall"]})
    jobs.choose_values()
    assert rows("SELECT value, source FROM person_fields") == [("a", "mall")]


def test_a_new_rule_goes_on_where_a_killed_worker_left_off(api, found, rows, monkeypatch):
    api.post("/api/v1/fields", json={**LEVEL, "survivorship": "newest"})
    people = found({"unionid": "u1"}, {"unionid": "u2"}, {"unionid": "u3"})
    with transaction():
        write_values([
            Said(person, "level", value, source, NOON + timedelta(days))
            for person in people for value, source, days in (("a", "mall", 0), ("b", "till", 1))
        ])  # fmt: skip
    api.patch("/api/v1/fields/level", json={"survivorship": "trusted", "trusted": ["mall"]})
    monkeypatch.setattr(jobs, "PEOPLE", 1)
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0.0)
    jobs.choose_values()  # one person; that it wakes itself is as good as lost, nobody works here
    assert sorted(value for (value,) in rows("SELECT value FROM person_fields")) == ["a", "b", "b"]
    steps = 1
    while choosing_due():
        jobs.choose_values()
        steps += 1
    assert rows("SELECT DISTINCT value FROM person_fields") == [("a",)]
    assert steps == len(people) + 1


def test_fields_and_identities_are_shown_to_those_who_may_see_them(api, api_with, found):
    api.post("/api/v1/fields", json={**LEVEL, "seen_with": ["value:read"], "written_with": ["people:merge"]})
    (person,) = found({"phone": "13912345670"})
    api.patch(f"/api/v1/people/{person}/fields", json={"values": {"level": "a", "phone": "13912345670"}})
    reader = api_with("people:read").get(f"/api/v1/people/{person}").json
    assert reader["identities"][0]["value"] == "+86***70"
    shown = {field["key"]: field["value"] for field in reader["fields"]}
    assert shown["phone"] == "+86***70"
    assert "level" not in shown
    writer = api_with("people:read", "people:write", "value:read")
    shown = writer.get(f"/api/v1/people/{person}").json
    assert shown["identities"][0]["value"] == "+8613912345670"
    assert {field["key"]: field["value"] for field in shown["fields"]}["level"] == "a"
    refused = writer.patch(f"/api/v1/people/{person}/fields", json={"values": {"level": "b"}})
    assert "people:merge" in refused.json["fields"]["values.level"]


def test_a_person_is_visible_when_one_of_their_customers_is(session, api, api_with, found):
    with transaction():
        ids = ensure_customers(["wm1", "wm2"])
        staff = Staff(userid="zs", name="ZS")
        session.add(staff)
        session.flush()
        session.add(Follow(customer_id=ids["wm1"], staff_id=staff.id, added_at=utcnow()))
    mine, other, bare = found(
        {"external_userid": "wm1"}, {"external_userid": "wm2"}, {"phone": "13912345670"}
    )
    limited = api_with(staff_ids=[staff.id])
    answers = [limited.get(f"/api/v1/people/{person}").status_code for person in (mine, other, bare)]
    assert answers == [200, 404, 404]
    assert limited.get(f"/api/v1/customers/{ids['wm2']}/person").status_code == 404
    search = {"kind": "external_userid", "value": "wm2"}
    assert limited.post("/api/v1/people:search", json=search).status_code == 404
    assert api.post("/api/v1/people:search", json=search).json == {"person_id": other}
    nobody = limited.post("/api/v1/people:search", json={**search, "value": "wm404"})
    assert (
        nobody.json == limited.post("/api/v1/people:search", json=search).json
    )  # no word of whether it exists
    merge = {"kept_id": mine, "gone_id": other}
    assert limited.post("/api/v1/people/merges", json=merge).status_code == 404
    assert session.get(Customer, ids["wm2"]) is not None


def test_values_of_a_customer_are_those_of_the_person(session, api):
    with transaction():
        customer = ensure_customers(["wm1"])["wm1"]
    answer = api.patch(
        f"/api/v1/customers/{customer}/person/fields", json={"values": {"birthday": "1990-05-17"}}
    )
    assert answer.json["customer_ids"] == [customer]
    shown = api.get(f"/api/v1/customers/{customer}/person").json
    assert {f["key"]: f["value"] for f in shown["fields"]}["birthday"] == "1990-05-17"


def test_the_portrait_shows_the_person_with_identities_masked(session, api, found):
    with transaction():
        customer = ensure_customers(["wmCustomer01"])["wmCustomer01"]
    api.post("/api/v1/fields", json={**LEVEL, "seen_with": ["value:read"]})
    values = {
        "level": "a",
        "phone": "13912345670",
        "name": "梅",
        "address": {"city": "上海", "street": "南京路 1"},
    }
    shown = api.patch(f"/api/v1/customers/{customer}/person/fields", json={"values": values}).json
    (other,) = found({"unionid": "u-2", "phone": "13912345670"})
    api.post("/api/v1/people/merges", json={"kept_id": shown["id"], "gone_id": other})
    person = api.get(f"/api/v1/customers/{customer}").json["person"]
    assert person["id"] == shown["id"]
    assert {i["kind"]: i["value"] for i in person["identities"]} == {
        "external_userid": "wmC***01", "phone": "+86***70", "unionid": "***",
    }  # fmt: skip
    assert {key: field["value"] for key, field in person["fields"].items()} == {
        "phone": "+86***70", "name": "梅", "address": {"city": "上海"},
    }  # fmt: skip
    assert [merge["person_id"] for merge in person["merged_from"]] == [other]


def test_a_file_that_a_field_names_is_not_deleted_without_a_word(api, found):
    api.post("/api/v1/fields", json={"key": "photo", "type": "file", "name_zh": "照片", "name_en": "photo"})
    (person,) = found({"unionid": "u1"})
    file = api.post("/api/v1/media", **upload_form(JPG, "a.jpg")).json["id"]
    address, fields = f"/api/v1/media/{file}", f"/api/v1/people/{person}/fields"
    assert api.patch(fields, json={"values": {"photo": file}}).status_code == 200
    refused = api.delete(address)
    assert refused.status_code == 409
    assert f"the field photo of person {person}" in refused.json["detail"]
    assert api.get(f"{address}/content").data == JPG
    api.patch(fields, json={"values": {"photo": None}})
    assert api.delete(address).status_code == 204
    again = api.post("/api/v1/media", **upload_form(JPG, "a.jpg")).json["id"]
    api.patch(fields, json={"values": {"photo": again}})
    assert api.delete(f"/api/v1/media/{again}?force=true").status_code == 204


def test_a_text_where_a_list_is_wanted_is_told_what_would_be_right(api):
    given = {"key": "size", "type": "text", "name_zh": "尺码", "name_en": "size", "trusted": "mall"}
    given |= {"seen_with": "people:write", "written_with": "people:write"}
    refused = api.post("/api/v1/fields", json=given)
    assert refused.status_code == 422
    permissions = 'must be a list of permissions, such as ["people:write"]'
    assert refused.json["fields"] == {
        "seen_with": permissions,
        "written_with": permissions,
        "trusted": "must be a list, in [ ] also when it is of one",
    }
