from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scrm.broadcasts.models import Broadcast, BroadcastState, BroadcastTarget, TargetState
from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Permission
from tests.scrm.broadcasts.population import follow, make_broadcast, make_customers, make_group, make_staff

URL = "/api/v1/broadcasts"
ZONE = ZoneInfo("Asia/Shanghai")


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "offer", "kind": "customers", "text": "hello", "audience": {"all": True}, **changes}


def refused(answer: Any, field: str, part: str) -> None:
    assert answer.status_code == 422, answer.json
    assert field in answer.json["fields"], answer.json
    assert part in answer.json["fields"][field], answer.json


def test_a_draft_is_made_shown_listed_changed_and_deleted(api: FlaskClient) -> None:
    made = api.post(URL, json=body())
    assert made.status_code == 201
    assert (made.json["state"], made.json["send_at"]) == ("draft", None)
    one = f"{URL}/{made.json['id']}"
    assert api.get(one).json["text"] == "hello"
    changed = api.patch(one, json={"name": "better offer", "text": None, "attachments": [link()]})
    assert changed.status_code == 200
    assert (changed.json["name"], changed.json["text"]) == ("better offer", None)
    assert changed.json["attachments"] == [link()]
    assert [b["id"] for b in api.get(f"{URL}?state=draft&kind=customers").json["items"]] == [made.json["id"]]
    assert api.get(f"{URL}?state=open").json["items"] == []
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404


def link(**changes: str) -> dict[str, Any]:
    return {"msgtype": "link", "link": {"title": "t", "url": "https://example.com", **changes}}


def test_a_time_without_zone_is_read_in_the_corps_zone(api: FlaskClient) -> None:
    wall = (datetime.now(ZONE) + timedelta(days=1)).replace(microsecond=0, tzinfo=None)
    made = api.post(URL, json=body(send_at=wall.isoformat()))
    assert made.json["state"] == "scheduled"
    assert datetime.fromisoformat(made.json["send_at"]) == wall.replace(tzinfo=ZONE)


def test_a_time_with_an_offset_keeps_its_moment(api: FlaskClient) -> None:
    moment = (utcnow() + timedelta(hours=1)).replace(microsecond=0)
    made = api.post(URL, json=body(send_at=moment.isoformat()))
    assert datetime.fromisoformat(made.json["send_at"]) == moment


def test_a_wall_time_that_is_past_in_the_corps_zone_is_refused(api: FlaskClient) -> None:
    past = (datetime.now(ZONE) - timedelta(minutes=1)).replace(tzinfo=None)  # in UTC it would lie hours ahead
    refused(api.post(URL, json=body(send_at=past.isoformat())), "send_at", "Asia/Shanghai")


def test_giving_and_taking_a_time_schedules_and_unschedules(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    later = (utcnow() + timedelta(days=2)).isoformat()
    assert api.post(f"{one}/schedule", json={"send_at": later}).json["state"] == "scheduled"
    assert api.patch(one, json={"send_at": None}).json["state"] == "draft"
    refused(api.post(f"{one}/schedule", json={"send_at": "2020-01-01T00:00:00"}), "send_at", "past")


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        ({"text": "汉" * 1334}, "text", "4000"),
        ({"text": None}, "text", "may not both be empty"),
        ({"text": "  ", "attachments": []}, "text", "may not both be empty"),
        ({"attachments": [link()] * 10}, "attachments", "9"),
        ({"attachments": [link(), link(title="t" * 129)]}, "attachments.1.link.title", "128"),
        ({"attachments": [{"msgtype": "link"}]}, "attachments.0.link", "required"),
        ({"attachments": [{"msgtype": "voice"}]}, "attachments.0.msgtype", "image"),
        ({"attachments": [{"msgtype": "image", "image": {}}]}, "attachments.0.image.library_id", "pic_url"),
        ({"audience": {}}, "audience", "exactly one"),
        ({"audience": {"all": True, "customer_ids": [1]}}, "audience", "exactly one"),
        ({"audience": {"all": False}}, "audience.all", "boolean"),
        ({"audience": {"customer_ids": []}}, "audience.customer_ids", "1"),
        ({"audience": {"customer_ids": ["1"]}}, "audience.customer_ids.0", "integer"),
        ({"audience": {"group_ids": [1]}}, "audience.group_ids", "customers"),
        ({"audience": {"customer_ids": [8, 7]}}, "audience.customer_ids", "2 unknown: 7, 8"),
        ({"kind": "groups", "audience": {"condition": {}}}, "audience.condition", "groups"),
        ({"kind": "groups", "audience": {"group_ids": [9]}}, "audience.group_ids", "1 unknown: 9"),
        (
            {"audience": {"condition": {"all": [{"kind": "has_tag", "tag_ids": [5]}]}}},
            "audience.condition.all.0.tag_ids.0",
            "5",
        ),
        ({"audience": {"condition": {"any": [{"kind": "nonsense"}]}}}, "audience.condition.any.0.kind", ""),
        ({"name": ""}, "name", "1"),
        ({"colour": "red"}, "colour", "Unknown"),
        ({"send_at": "soon"}, "send_at", "datetime"),
    ],
)
def test_bad_input_is_refused_by_name_and_limit(
    api: FlaskClient, changes: dict, field: str, part: str
) -> None:
    refused(api.post(URL, json=body(**changes)), field, part)
    assert api.get(URL).json["items"] == []


def test_an_edit_is_checked_like_a_new_one(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    refused(api.patch(one, json={"text": ""}), "text", "may not both be empty")
    refused(api.patch(one, json={"audience": {"group_ids": [1]}}), "audience.group_ids", "customers")
    assert api.get(one).json["text"] == "hello"


def test_what_runs_cannot_be_edited_or_started_again(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    started = api.post(f"{one}/start")
    assert (started.status_code, started.json["state"]) == (200, "planning")
    for answer in (api.patch(one, json={"name": "x"}), api.post(f"{one}/start"), api.delete(one)):
        assert answer.status_code == 409
        assert "planning" in answer.json["detail"]


def test_a_broadcast_that_has_not_started_is_cancelled_at_once(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    cancelled = api.post(f"{one}/cancel").json
    assert cancelled["state"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert api.post(f"{one}/cancel").json["state"] == "cancelled"  # again is no error
    for verb in ("start", "pause", "resume"):
        assert api.post(f"{one}/{verb}").status_code == 409


def test_pause_before_the_freeze_is_undone_by_resume(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    api.post(f"{one}/start")
    assert api.post(f"{one}/pause").json["state"] == "paused"
    assert api.post(f"{one}/resume").json["state"] == "planning"


def test_nothing_to_remind_is_said(api: FlaskClient) -> None:
    one = f"{URL}/{api.post(URL, json=body()).json['id']}"
    answer = api.post(f"{one}/remind")
    assert answer.status_code == 409
    assert "draft" in answer.json["detail"]


def test_the_plan_is_shown_and_changes_nothing(api: FlaskClient, session: Session) -> None:
    [member] = make_staff(session, "a")
    kept, skipped = make_customers(session, "wm1", "wm2")
    follow(session, member, kept)
    made = api.post(URL, json=body(audience={"customer_ids": [kept.id, skipped.id]})).json
    plan = api.get(f"{URL}/{made['id']}/plan").json
    assert (plan["recipients"], plan["tasks"]) == (1, 1)
    assert plan["senders"][0]["userid"] == "a"
    assert plan["skipped"] == {"total": 1, "reasons": {"no_active_follow": 1}}
    assert plan["monthly_cap"]["per_recipient"] in range(28, 32)
    assert api.get(f"{URL}/{made['id']}").json["state"] == "draft"
    assert session.scalar(select(func.count()).select_from(BroadcastTarget)) == 0


def test_results_count_and_page_every_recipient(api: FlaskClient, session: Session) -> None:
    broadcast = make_broadcast(session, state=BroadcastState.OPEN, frozen_at=utcnow())
    for i in range(5):
        state = TargetState.SENT if i < 3 else TargetState.SKIPPED
        session.add(
            BroadcastTarget(broadcast_id=broadcast.id, recipient=f"wm{i}", customer_id=i, state=state)
        )
    session.flush()
    url, seen, cursor = f"{URL}/{broadcast.id}/results?limit=2", [], None
    while True:
        page = api.get(url + (f"&cursor={cursor}" if cursor else "")).json
        assert (page["totals"]["sent"], page["totals"]["skipped"], page["totals"]["capped"]) == (3, 2, 0)
        seen += [item["recipient"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["wm0", "wm1", "wm2", "wm3", "wm4"]
    assert [i["recipient"] for i in api.get(f"{url}&state=skipped").json["items"]] == ["wm3", "wm4"]


def test_a_repeated_creation_with_the_same_key_makes_one(api: FlaskClient, session: Session) -> None:
    for _ in range(2):
        assert api.post(URL, json=body(), headers={"Idempotency-Key": "k1"}).status_code == 201
    assert session.scalar(select(func.count()).select_from(Broadcast)) == 1


def test_reading_does_not_allow_sending(session: Session, api_with: Callable[..., FlaskClient]) -> None:
    reader = api_with(Permission.BROADCASTS_READ)
    assert reader.get(URL).status_code == 200
    assert reader.post(URL, json=body()).status_code == 403


def test_a_limited_key_sees_and_names_only_what_is_its_own(
    session: Session, api: FlaskClient, api_with: Callable[..., FlaskClient]
) -> None:
    mine, other = make_staff(session, "mine", "other")
    own, foreign = make_customers(session, "wm-own", "wm-foreign")
    follow(session, mine, own)
    follow(session, other, foreign)
    group = make_group(session, "wr1", other)
    limited = api_with(staff_ids=[mine.id])
    everybodys = api.post(URL, json=body()).json["id"]
    assert limited.get(f"{URL}/{everybodys}").status_code == 404
    assert limited.post(f"{URL}/{everybodys}/cancel").status_code == 404
    refused(
        limited.post(URL, json=body(audience={"customer_ids": [foreign.id]})),
        "audience.customer_ids",
        "unknown",
    )
    groups = body(kind="groups", audience={"group_ids": [group.id]})
    refused(limited.post(URL, json=groups), "audience.group_ids", "unknown")
    made = limited.post(URL, json=body()).json["id"]
    assert limited.get(f"{URL}/{made}/plan").json["recipients"] == 1
    assert [b["id"] for b in limited.get(URL).json["items"]] == [made]
    assert {b["id"] for b in api.get(URL).json["items"]} == {made, everybodys}
