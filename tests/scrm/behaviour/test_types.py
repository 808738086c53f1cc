"""Event types: registered, changed with care, archived; retention; what a person did, page by page."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from scrm.behaviour import jobs
from scrm.kernel.clock import shifted, utcnow
from tests.scrm.behaviour.conftest import VIEWED
from tests.tags.conftest import make_world

URL = "/api/v1/event-types"


def rows(session, statement):
    return [tuple(row) for row in session.execute(text(statement))]


def test_a_type_is_registered_once(api, viewed):
    assert viewed["properties"][1] == VIEWED["properties"][1] | {"required": False}
    assert api.post(URL, json=VIEWED).status_code == 409
    assert [one["key"] for one in api.get(URL).json["items"]] == ["page_viewed"]
    assert api.get(f"{URL}/{viewed['id']}").json == viewed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "Page Viewed"}, "key"),
        ({"name_zh": ""}, "name_zh"),
        ({"retention_days": 0}, "retention_days"),
        ({"unknown_properties": "drop"}, "unknown_properties"),
        ({"properties": [{"key": "a", "type": "date", "name_zh": "a", "name_en": "a"}]}, "properties.0.type"),
        ({"properties": [VIEWED["properties"][0]] * 2}, "properties.1.key"),
    ],
)
def test_a_wrong_type_is_refused_by_name(api, change, field):
    answer = api.post(URL, json=VIEWED | change)
    assert answer.status_code == 422
    assert field in answer.json["fields"]


def test_an_archived_type_takes_no_more_events_and_can_come_back(api, send, event, viewed):
    url = f"{URL}/{viewed['id']}"
    assert api.patch(url, json={"archived": True}).json["archived_at"] is not None
    assert "archived" in send(event())["results"][0]["problem"]["type"]
    assert api.patch(url, json={"archived": False}).json["archived_at"] is None
    assert send(event())["created"] == 1


def test_a_property_that_a_condition_asks_for_stays(api, session, viewed):
    url, world = f"{URL}/{viewed['id']}", make_world()
    first, *others = VIEWED["properties"]
    step = {"event_type_id": viewed["id"]}
    where = {**step, "where": [{"property": first["key"], "op": "is_present"}]}
    asked = {"not": {"kind": "event", **where}}
    follows = {"kind": "sequence", "first": step, "then": where, "within_hours": 1}
    rule = {"name": "r", "condition": {"all": [asked]}, "add_tag_ids": [world.tag().id]}
    message = {"name": "b", "kind": "customers", "text": "hi", "audience": {"condition": asked}}
    made = [
        api.post(f"/api/v1/{path}", json=body).json["id"]
        for path, body in (
            ("rules", rule),
            ("audiences", {"name": "a", "condition": follows}),
            ("broadcasts", message),
        )
    ]
    refused = api.patch(url, json={"properties": others})
    assert (refused.status_code, refused.json["code"]) == (409, "event-property-in-use")
    for told in (f"rule {made[0]} (r)", f"audience {made[1]} (a)", f"broadcast {made[2]} (b)"):
        assert told in refused.json["detail"]
    assert api.patch(url, json={"properties": [first]}).status_code == 200, "nobody asks for the others"


def test_a_property_that_events_carry_keeps_its_type(api, send, event, viewed):
    url = f"{URL}/{viewed['id']}"
    turned = [VIEWED["properties"][0] | {"type": "number"}]
    assert api.patch(url, json={"properties": turned}).status_code == 200
    assert api.patch(url, json={"properties": VIEWED["properties"][:1]}).status_code == 200
    send(event())
    answer = api.patch(url, json={"properties": turned})
    assert (answer.status_code, "page" in answer.json["detail"]) == (409, True)
    more = [*VIEWED["properties"][:1], VIEWED["properties"][2]]
    assert api.patch(url, json={"properties": more}).status_code == 200


def test_events_older_than_their_type_is_kept_are_forgotten_with_their_counts(
    api, send, event, session, viewed, monkeypatch
):
    monkeypatch.setattr("scrm.behaviour.service.forgetting.AT_ONCE", 2)
    now = utcnow()
    for days in range(5):
        send(event(f"e{days}", at=(now - timedelta(days=days, hours=1)).isoformat()))
    api.patch(f"{URL}/{viewed['id']}", json={"retention_days": 3})
    session.commit()
    with shifted(timedelta(days=1)):
        jobs.forget_behaviour()
    assert rows(session, "SELECT source_id FROM behaviour_events ORDER BY 1") == [("e0",), ("e1",)]
    assert rows(session, "SELECT source_id FROM event_keys ORDER BY 1") == [("e0",), ("e1",)]
    assert rows(session, "SELECT sum(count), min(count) FROM event_days") == [(2, 1)]
    old = event("e9", at=(now - timedelta(days=4)).isoformat())
    assert "3 days" in send(old)["results"][0]["problem"]["at"]


def test_types_kept_for_good_forget_nothing(send, event, session):
    send(event(at="2020-01-01T00:00:00Z"))
    jobs.forget_behaviour()
    assert rows(session, "SELECT count(*) FROM behaviour_events") == [(1,)]


def test_what_a_person_did_is_read_page_by_page_within_the_scope(api, api_with, send, event, session):
    send(*(event(f"e{n}", at=f"2026-10-0{1 + n // 2}T00:00:00Z") for n in range(5)))
    person = session.scalar(text("SELECT person_id FROM behaviour_events LIMIT 1"))
    url, seen, cursor = f"/api/v1/people/{person}/events", [], ""
    while cursor is not None:
        page = api.get(f"{url}?limit=2&type=page_viewed" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [one["source_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["e4", "e3", "e2", "e1", "e0"]
    assert api.get(f"{url}?type=other").json["items"] == []
    assert api.get(f"{url}?cursor=x").status_code == 422
    assert api_with("events:read", staff_ids=[1]).get(url).status_code == 404


@pytest.mark.parametrize("permission", ["events:read", "orders:write"])
def test_sending_events_needs_its_permission(api_with, session, permission):
    answer = api_with(permission).post("/api/v1/events:batch", json={})
    assert (answer.status_code, "events:write" in answer.json["detail"]) == (403, True)
