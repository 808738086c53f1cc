"""Who is who: identities in one form, persons found or made, disagreements put before a person."""

import threading
from importlib import import_module

import pytest
from sqlalchemy import text

from scrm.customers.service.details import CustomerSeen, apply_details
from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.errors import InvalidInput
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import resolve

MATCHES = "SELECT low_id, high_id, keep_id, kind, state FROM person_matches ORDER BY id"


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("phone", "139-1234-5670", "+8613912345670"),
        ("phone", "0086 13912345670", "+8613912345670"),
        ("phone", "+86 (139) 1234 5670", "+8613912345670"),
        ("phone", "010-65123456", "+861065123456"),
        ("phone", "+1 650 253 0000", "+16502530000"),
        ("email", " Mei.Li@Example.COM ", "mei.li@example.com"),
        ("unionid", " oAbC ", "oAbC"),
        ("openid:wx12", "o1", "o1"),
    ],
)
def test_identities_written_differently_become_equal(session, kind, written, normal):
    assert Identity(kind, written).value == normal


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "12"), ("phone", "abc"), ("phone", "+86139123456789"), ("email", "a@"), ("email", "a b@c.de"),
        ("unionid", "  "), ("openid:", "x"), ("wechat", "x"), ("card", "x" * 201), ("card", "a\0b"),
    ],
)  # fmt: skip
def test_what_cannot_be_of_its_kind_is_refused_by_name(session, kind, value):
    with pytest.raises(InvalidInput) as refusal:
        Identity(kind, value)
    assert refusal.value.fields


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "13800138000"), ("phone", "13888888888"), ("email", "noreply@shop.cn"), ("member_no", "00000000"),
        ("member_no", "NULL"), ("card", "123456"), ("unionid", "-"), ("email", "NoReply@Shop.cn"),
    ],
)  # fmt: skip
def test_placeholders_and_test_numbers_identify_nobody(found, rows, kind, value):
    assert found({kind: value}) == [None]
    assert rows("SELECT count(*) FROM people") == [(0,)]


def test_the_same_record_again_finds_the_same_person(found, rows):
    record = {"phone": "13912345670", "member_no": "M1"}
    first = found(record, {"phone": "13912345671"}, record)
    assert first[0] == first[2] != first[1]
    assert found(record) == [first[0]]
    assert rows("SELECT count(*) FROM people") == [(2,)]
    assert rows("SELECT kind, source FROM identities WHERE person_id = :p ORDER BY kind", p=first[0]) == [
        ("member_no", "mall"), ("phone", "mall"),
    ]  # fmt: skip


def test_a_record_joins_identities_that_an_earlier_row_of_the_batch_made(found):
    people = found({"unionid": "u1"}, {"unionid": "u1", "phone": "13912345670"}, {"phone": "13912345670"})
    assert len(set(people)) == 1


def test_persons_named_together_are_to_be_merged_into_the_surest(found, rows):
    by_phone, by_union = found({"phone": "13912345670"}, {"unionid": "u1"})
    assert found({"phone": "13912345670", "unionid": "u1"}) == [by_union]
    assert rows(MATCHES) == [(*sorted((by_phone, by_union)), by_union, "shared", "wanted")]


def test_two_member_numbers_are_two_persons_until_somebody_decides(found, rows):
    (first,) = found({"member_no": "M1", "phone": "13912345670"})
    (second,) = found({"member_no": "M2", "phone": "13912345670"})
    assert first != second
    assert rows(MATCHES) == [(first, second, second, "conflict", "open")]
    assert found({"phone": "13912345670"}) == [first]
    assert rows("SELECT reasons FROM person_matches")[0][0] == [
        {"code": "named_together", "kind": "phone", "source": "mall"},
        {"code": "two_values", "kind": "member_no"},
    ]


def test_a_second_unionid_of_an_external_userid_is_set_apart(found, rows):
    (person,) = found({"external_userid": "wm1", "unionid": "u1"})
    assert found({"external_userid": "wm1", "unionid": "u2"}) == [person]
    (other,) = found({"unionid": "u2"})
    assert other != person
    assert [row[3:] for row in rows(MATCHES)] == [("conflict", "open")]


def test_a_new_member_number_of_the_same_record_counts_before_persons_are_put_together(found, rows):
    found({"external_userid": "wm1"}, {"unionid": "u1", "member_no": "A"})
    found({"external_userid": "wm1", "unionid": "u1", "member_no": "B"})
    assert [row[3:] for row in rows(MATCHES)] == [("conflict", "open")]


def test_a_phone_that_too_many_claim_identifies_nobody(found, rows, configure):
    configure(shared_by=2)
    shop = "13912345670"
    people = found(*({"member_no": f"M{n}", "phone": shop} for n in range(3)))
    assert len(set(people)) == 3
    assert rows("SELECT kind, value, reason FROM blocked_values") == [("phone", "+8613912345670", "shared")]
    assert rows("SELECT count(*) FROM identities WHERE kind = 'phone'") == [(0,)]
    assert found({"phone": shop}) == [None]
    assert found({"phone": shop, "member_no": "M1"}) == [people[1]]


def test_a_person_with_many_phones_gets_no_more_of_them_unasked(found, rows, configure):
    configure(most_values=2)
    (person,) = set(found(*({"unionid": "u1", "phone": f"1391234567{n}"} for n in range(3))))
    assert rows("SELECT count(*) FROM identities WHERE person_id = :p AND kind = 'phone'", p=person) == [(2,)]
    assert rows("SELECT reasons->1->>'code', state FROM person_matches") == [("too_many", "open")]


def test_two_batches_that_name_one_new_phone_make_one_person(app, committed, rows):
    holding, results = threading.Event(), []

    def first():
        with app.app_context():
            with transaction():
                results.append(resolve([[Identity("phone", "13912345670")]], "till"))
                holding.set()
                threading.Event().wait(0.3)
            db.session.remove()

    thread = threading.Thread(target=first)
    thread.start()
    holding.wait(60)
    with transaction():
        results.append(resolve([[Identity("member_no", "M0"), Identity("phone", "13912345670")]], "mall"))
    thread.join(60)
    assert results[0] == results[1]
    assert rows("SELECT count(*) FROM people") == [(1,)]


def test_every_customer_is_somebody_and_meets_the_person_of_the_unionid(session, found, rows):
    (member,) = found({"unionid": "u1", "member_no": "M1"})
    with transaction():
        ids = ensure_customers(["wm1", "wm2"])
    linked = dict(rows("SELECT customer_id, person_id FROM customer_people"))
    assert set(linked) == set(ids.values())
    assert member not in linked.values()
    with transaction():
        seen = [CustomerSeen("wm1", {"unionid": "u1"}), CustomerSeen("wm3", {"unionid": "u3"})]
        apply_details(seen, utcnow())
    assert rows(MATCHES) == [(member, linked[ids["wm1"]], linked[ids["wm1"]], "shared", "wanted")]
    assert found({"unionid": "u3"}) == found({"external_userid": "wm3"})
    assert rows("SELECT count(*) FROM customers") == rows("SELECT count(*) FROM customer_people")


def test_who_bought_before_becoming_a_customer_is_the_same_person(session, found, rows):
    (buyer,) = found({"external_userid": "wm9"})
    with transaction():
        ensure_customers(["wm9"])
    assert rows("SELECT person_id FROM customer_people") == [(buyer,)]


def test_an_address_is_one_person_in_whatever_case(found):
    (person,) = found({"email": "Zhao@example.com"})
    assert found({"email": "zhao@EXAMPLE.com"}) == [person]


def test_addresses_written_before_become_small_letters_unless_they_would_be_two_of_one(session, rows):
    made = text("INSERT INTO people SELECT FROM generate_series(1, 5) RETURNING id")
    people = sorted(session.scalars(made))
    before = ["A@x.cn", "b@x.cn", "B@x.cn", "C@x.cn", "c@X.cn"]
    for person, value in zip(people, before, strict=True):
        row = {"person": person, "value": value}
        session.execute(
            text(
                "INSERT INTO identities (person_id, kind, value, source) VALUES (:person, 'email', :value, 's')"
            ),
            row,
        )
        session.execute(
            text(
                "INSERT INTO identity_claims (person_id, kind, value, source) VALUES (:person, 'email', :value, 's')"
            ),
            row,
        )
    session.execute(
        text("INSERT INTO identities (person_id, kind, value, source) VALUES (:p, 'card', 'AB1', 's')"),
        {"p": people[0]},
    )
    for statement in import_module("scrm.kernel.migrations.versions.0009_facts").SMALL_LETTERS:
        session.execute(text(statement))
    kept = [
        value for (value,) in rows("SELECT value FROM identities WHERE kind = 'email' ORDER BY person_id")
    ]
    assert (kept[:3], sorted(value == "c@x.cn" for value in kept[3:])) == (
        ["a@x.cn", "b@x.cn", "B@x.cn"],
        [False, True],
    )
    claims = rows("SELECT value FROM identity_claims ORDER BY person_id")
    assert claims == [("a@x.cn",), ("b@x.cn",), ("b@x.cn",), ("c@x.cn",), ("c@x.cn",)]
    assert rows("SELECT value FROM identities WHERE kind = 'card'") == [("AB1",)]
