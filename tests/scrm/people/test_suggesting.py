"""Likely duplicates: scored with reasons, never quadratic, a rejection is remembered."""

import pytest
from sqlalchemy import text

from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.db import transaction
from scrm.people import jobs
from scrm.people.queries.work import comparing_due
from scrm.people.service.likeness import THRESHOLD, Features, likeness


def one(**values):
    return Features(1, **values)


@pytest.mark.parametrize(
    ("mine", "theirs", "parts"),
    [
        (one(phones=("13912345670",)), one(phones=("+8613912345670",)), ["phone"]),
        (one(names=("王小梅",), phones=("13912345670",)), one(names=("王小梅",), phones=("18612345670",)),
         ["phone_tail", "name"]),
        (one(names=("王小梅",), birthday="1990-05-17"), one(names=("王 小梅",), birthday="1990-05-17"),
         ["name", "birthday"]),
        (one(names=("Mei Li",), emails=("mei.li@a.cn",)), one(names=("mei li",), emails=("mei.li@b.cn",)),
         ["email_name", "name"]),
        (one(names=("王小梅",), address="上海南京路1号"), one(names=("王小梅",), address="上海 南京路1号"),
         ["name", "address"]),
    ],
)  # fmt: skip
def test_enough_in_common_is_suggested_with_its_reasons(mine, theirs, parts):
    found = likeness(mine, theirs)
    assert found.score >= THRESHOLD
    assert [reason["part"] for reason in found.reasons] == parts
    assert likeness(theirs, mine) == found


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (one(names=("王小梅",)), one(names=("王小梅",))),
        (one(names=("梅",), birthday="1990-05-17"), one(names=("梅",), birthday="1990-05-17")),
        (one(phones=("13912345670",)), one(phones=("18612345670",))),
        (one(names=("王小梅",), birthday="1990-05-17", phones=("13912345670",)),
         one(names=("王小梅",), birthday="1971-01-01", phones=("18612345670",))),
        (one(emails=("info@a.cn",), names=("王小梅",)), one(emails=("info@b.cn",), names=("李大海",))),
        (one(), one()),
    ],
)  # fmt: skip
def test_too_little_in_common_or_something_against_it_is_not(mine, theirs):
    assert likeness(mine, theirs).score < THRESHOLD


@pytest.fixture
def customers(session, rows):
    """Two customers of one name; a member noted the phone of the first in the remark of the second."""
    with transaction():
        ids = ensure_customers(["wm1", "wm2", "wm3"])
        session.execute(text("INSERT INTO staff (userid) VALUES ('zs')"))
        session.execute(text("UPDATE customers SET name = '王小梅' WHERE external_userid IN ('wm1', 'wm2')"))
        session.execute(
            text("INSERT INTO follows (customer_id, staff_id, remark_mobiles)"
                 " SELECT :c, id, ARRAY['139 1234 5670'] FROM staff"),
            {"c": ids["wm2"]},
        )  # fmt: skip
    return dict(
        rows("SELECT external_userid, person_id FROM customer_people JOIN customers ON id = customer_id")
    )


SAID = text("""
INSERT INTO person_fields (person_id, field, value, source, at)
SELECT :p, f, to_jsonb(v), 'mall', now() FROM (VALUES ('name', CAST(:name AS text)), ('phone', :phone)) AS x(f, v)
""")


def look_for_duplicates():
    jobs.suggest_duplicates()
    jobs.compare_alike()


MATCHES = "SELECT low_id, high_id, kind, state FROM person_matches"


def test_the_phone_in_a_remark_suggests_and_never_merges_by_itself(customers, found, rows, api):
    found({"external_userid": "wm1", "phone": "13912345670"})
    look_for_duplicates()
    jobs.merge_matched()
    assert rows(MATCHES) == [(*sorted((customers["wm1"], customers["wm2"])), "alike", "open")]
    (match,) = api.get("/api/v1/people/matches?kind=alike").json["items"]
    assert match["score"] > 0.9
    assert {reason["part"] for reason in match["reasons"]} == {"phone", "name"}
    assert "1391234" not in str(match)
    assert api.post(f"/api/v1/people/matches/{match['id']}/accept", json={}).json["merge_id"]
    assert found({"external_userid": "wm2"}) == [customers["wm1"]]


def test_the_comparing_goes_on_where_a_killed_worker_left_off(session, found, rows, monkeypatch):
    pairs = [(f"1391234567{n}", f"姓名{n}") for n in range(3)]
    for phone, name in pairs:
        for person in found({"card": f"A{phone}"}, {"card": f"B{phone}"}):
            session.execute(SAID, {"p": person, "phone": phone, "name": name})
    found({"card": "alone", "email": "alone@example.com"})
    monkeypatch.setattr(jobs, "KEYS", 1)
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0.0)
    jobs.suggest_duplicates()
    keys = "SELECT count(DISTINCT key) FROM alike_keys"
    assert rows(keys) == [(6,)]  # a phone and a name each; what nobody shares is not kept
    jobs.compare_alike()  # one key; that it wakes itself is as good as lost, nobody works here
    assert rows(keys) == [(5,)]
    while comparing_due():
        jobs.compare_alike()
    assert len(rows(MATCHES)) == len(pairs)


def test_a_rejected_suggestion_is_not_made_again(customers, found, rows, api):
    found({"external_userid": "wm1", "phone": "13912345670"})
    look_for_duplicates()
    (match,) = api.get("/api/v1/people/matches").json["items"]
    api.post(f"/api/v1/people/matches/{match['id']}/reject")
    look_for_duplicates()
    assert [row[3] for row in rows(MATCHES)] == ["rejected"]


def test_two_member_numbers_are_never_suggested_as_one(customers, found, rows):
    found({"external_userid": "wm1", "phone": "13912345670", "member_no": "A"})
    found({"external_userid": "wm2", "member_no": "B"})
    look_for_duplicates()
    assert rows(MATCHES) == []


def test_what_many_have_in_common_is_not_compared(session, found, rows):
    people = found(*({"card": f"Card{n}"} for n in range(30)))
    for person in people:
        session.execute(
            text("INSERT INTO person_fields (person_id, field, value, source, at)"
                 " SELECT :p, f, to_jsonb(v), 'mall', now()"
                 " FROM (VALUES ('name', '王小梅'), ('birthday', '1990-05-17')) AS x(f, v)"),
            {"p": person},
        )  # fmt: skip
    look_for_duplicates()
    assert rows(MATCHES) == []
