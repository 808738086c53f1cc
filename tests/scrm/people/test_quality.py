"""How good is what we know: completeness, what to ask, neglected contacts, a cleaning run with preview and undo."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen

from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.people import jobs
from scrm.people.service.values import Said, write_values

FIELD = {"key": "size", "type": "text", "name_zh": "尺码", "name_en": "size"}


def say(person, field, value, source="mall", days=0):
    with transaction():
        write_values([Said(person, field, value, source, utcnow() - timedelta(days=days))])


def test_completeness_grows_with_the_worth_of_what_is_known(api, found):
    (person,) = found({"unionid": "u"})
    address = f"/api/v1/people/{person}/quality"
    empty = api.get(address).json
    assert (empty["completeness"], len(empty["missing"])) == (0, 7)
    say(person, "company", "示例")
    small = api.get(address).json["completeness"]
    say(person, "phone", "+8613912345670")
    grown = api.get(address).json
    assert 0 < small < grown["completeness"] < 1
    assert "phone" not in grown["missing"]
    for field in grown["missing"]:
        say(person, field, "x")
    assert api.get(address).json["completeness"] == 1


def test_the_two_most_valuable_questions_are_asked_and_no_refusal_is_asked_again(api, found):
    (person,) = found({"unionid": "u"})
    address = f"/api/v1/people/{person}/quality"
    asked = api.get(address).json["questions"]
    assert [question["key"] for question in asked] == ["phone", "name"]
    assert "手机" in asked[0]["zh"]
    api.post("/api/v1/fields", json={**FIELD, "required": True})
    say(person, "phone", None)
    shown = api.get(address).json
    assert [question["key"] for question in shown["questions"]] == ["size", "name"]
    assert shown["missing_required"] == ["size"]
    with shifted(timedelta(days=91)):
        assert [q["key"] for q in api.get(address).json["questions"]] == ["size", "phone"]


MESSAGE = """INSERT INTO messages (sent_at, channel, message_key, direction, kind, content, customer_id)
VALUES (now(), 'kf', 'm1', 'in', 'text', '{}', :wm1)"""


@pytest.fixture
def contacts(session):
    """wm1 wrote, wm2 left, wm3 was heard of two years ago and never since."""
    with transaction():
        ids = ensure_customers(["wm1", "wm2", "wm3"])
        for statement in (
            "INSERT INTO staff (id, userid) VALUES (1, 'zs')",
            "INSERT INTO follows (customer_id, staff_id, added_at) VALUES (:wm1, 1, now()), (:wm2, 1, now())",
            "INSERT INTO follows (customer_id, staff_id, added_at) VALUES (:wm3, 1, now() - interval '2 years')",
            "UPDATE follows SET deleted_by_customer_at = now() + interval '1 minute' WHERE customer_id = :wm2",
            "UPDATE customers SET created_at = now() - interval '2 years' WHERE id IN (:wm1, :wm3)",
            MESSAGE,
        ):
            session.execute(text(statement), ids)
    return ids


def listed(api, problem):
    answer = api.get("/api/v1/people/quality/customers", query_string={"problem": problem})
    return sorted(item["customer_id"] for item in answer.json["items"])


def test_neglected_contacts_are_listed(api, api_with, contacts):
    assert listed(api, "never_wrote") == [contacts["wm2"], contacts["wm3"]]
    assert listed(api, "left") == [contacts["wm2"]]
    assert listed(api, "stale") == [contacts["wm3"]]
    limited = api_with(staff_ids=[1])
    assert listed(limited, "never_wrote") == [contacts["wm3"]]
    assert api.get("/api/v1/people/quality/customers?problem=ugly").status_code == 422


def test_neglected_contacts_are_looked_for_some_at_a_time_and_pages_lead_to_every_one(
    api, contacts, monkeypatch
):
    monkeypatch.setattr("scrm.people.queries.quality.LOOKED_AT", 1)
    monkeypatch.setattr("scrm.people.queries.quality.LOOKS", 2)
    pages, query = [], {"problem": "never_wrote", "limit": 1}
    while not pages or query.get("cursor"):
        page = api.get("/api/v1/people/quality/customers", query_string=query).json
        pages.append([item["customer_id"] for item in page["items"]])
        query["cursor"] = page["next_cursor"]
    found = [customer for page in pages for customer in page]
    assert found == sorted((contacts["wm2"], contacts["wm3"]), reverse=True)
    assert all(len(page) <= 1 for page in pages)


def test_a_page_of_neglected_contacts_never_asks_about_everybody_at_once(api, contacts, session):
    asked = []
    listen(session.connection(), "before_cursor_execute", lambda *args: asked.append(args[2]))
    assert listed(api, "stale") == [contacts["wm3"]]
    about = [statement for statement in asked if "person_values" in statement]
    assert len(about) == 1
    assert "customers.id = any(" in about[0]


def test_what_became_known_lately_keeps_a_contact_from_being_stale(api, contacts, rows):
    ((person,),) = rows("SELECT person_id FROM customer_people WHERE customer_id = :c", c=contacts["wm3"])
    say(person, "name", "梅")
    assert listed(api, "stale") == []


def test_the_nightly_report_holds_the_figures(api, contacts, found, rows):
    (person,) = found({"external_userid": "wm1"})
    say(person, "phone", "+8613912345670")
    jobs.measure_quality()
    (report,) = api.get("/api/v1/people/quality").json["items"]
    figures = report["figures"]
    assert (figures["people"], figures["customers"]) == (3, 3)
    assert (figures["never_wrote"], figures["left"], figures["stale"]) == (2, 1, 1)
    phone = next(field for field in figures["fields"] if field["key"] == "phone")
    assert (phone["filled"], phone["share"], phone["invalid"]) == (1, 0.3333, 0)
    assert figures["completeness"] == pytest.approx(5 / 21 / 3, abs=1e-4)


@pytest.fixture
def messy(api, found):
    """A person whose size was said by two sources before the field got a pattern, and an e-mail in an old form."""
    api.post("/api/v1/fields", json=FIELD)
    (person,) = found({"unionid": "u"})
    say(person, "size", "M", "till", days=2)
    say(person, "size", "huge", "mall", days=1)
    say(person, "email", "a@B.CN", days=3)
    api.patch("/api/v1/fields/size", json={"limits": {"pattern": "[SML]"}})
    return person


STANDING = "SELECT field, value FROM person_fields ORDER BY field"
VALUES = "SELECT CAST(to_jsonb(v) AS text) FROM person_values v ORDER BY id"


def test_a_cleaning_run_shows_repairs_and_undoes(api, messy, rows):
    before = rows(VALUES)
    run = api.post("/api/v1/people/cleaning-runs").json
    assert run["state"] == "scanning"
    jobs.clean_values()
    address = f"/api/v1/people/cleaning-runs/{run['id']}"
    shown = api.get(address).json
    assert (shown["state"], shown["looked_at"]) == ("ready", 3)
    assert [(p["field"], p["values"]) for p in shown["problems"]] == [("email", 1), ("size", 1)]
    items = api.get(f"{address}/items").json["items"]
    assert [(i["field"], i["before"], i["after"]) for i in items] == [
        ("size", "huge", None), ("email", "a@B.CN", "a@b.cn"),
    ]  # fmt: skip
    assert rows(VALUES) == before
    assert api.post(f"{address}/apply").status_code == 202
    jobs.clean_values()
    assert api.get(address).json["state"] == "done"
    assert rows(STANDING) == [("email", "a@b.cn"), ("size", "M")]
    assert api.post(f"{address}/cancel").status_code == 409
    assert api.post(f"{address}/undo").status_code == 202
    jobs.clean_values()
    assert api.get(address).json["state"] == "undone"
    assert rows(VALUES) == before
    assert rows(STANDING) == [("email", "a@B.CN"), ("size", "huge")]


def test_what_was_said_since_the_preview_is_left_alone(api, messy, rows):
    run = api.post("/api/v1/people/cleaning-runs").json["id"]
    jobs.clean_values()
    current_session().execute(text("UPDATE person_values SET value = '\"L\"' WHERE value = '\"huge\"'"))
    api.post(f"/api/v1/people/cleaning-runs/{run}/apply")
    jobs.clean_values()
    assert rows("SELECT value FROM person_values WHERE field = 'size' ORDER BY id") == [("M",), ("L",)]
    assert rows("SELECT field, applied FROM cleaning_items ORDER BY field") == [
        ("email", True),
        ("size", False),
    ]


def test_one_run_at_a_time_and_for_unlimited_keys_only(api, api_with, messy, rows):
    run = api.post("/api/v1/people/cleaning-runs").json["id"]
    assert api.post("/api/v1/people/cleaning-runs").status_code == 409
    assert api.post(f"/api/v1/people/cleaning-runs/{run}/apply").status_code == 409
    assert api_with(staff_ids=[1]).post(f"/api/v1/people/cleaning-runs/{run}/cancel").status_code == 403
    assert api.post(f"/api/v1/people/cleaning-runs/{run}/cancel").json["state"] == "cancelled"
    assert api.post("/api/v1/people/cleaning-runs").status_code == 201


def test_a_scan_in_small_steps_sees_every_value_once(api, messy, rows):
    from scrm.people.service.cleaning import work_on

    run = api.post("/api/v1/people/cleaning-runs").json["id"]
    while rows("SELECT state FROM cleaning_runs WHERE id = :r", r=run) == [("scanning",)]:
        with transaction():
            work_on(1)
    assert rows("SELECT looked_at FROM cleaning_runs") == [(3,)]
    api.post(f"/api/v1/people/cleaning-runs/{run}/apply")
    with transaction():
        while work_on(1):
            pass
    assert rows(STANDING) == [("email", "a@b.cn"), ("size", "M")]


def test_figures_of_the_company_are_not_for_keys_with_a_data_scope(api, api_with):
    run = api.post("/api/v1/people/cleaning-runs").json["id"]
    limited, unlimited = api_with(staff_ids=[1]), api_with()
    for path in ("quality", "cleaning-runs", f"cleaning-runs/{run}", f"cleaning-runs/{run}/items"):
        assert limited.get(f"/api/v1/people/{path}").status_code == 403, path
        assert unlimited.get(f"/api/v1/people/{path}").status_code == 200, path
