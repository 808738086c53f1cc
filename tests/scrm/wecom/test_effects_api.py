from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as db_session
from scrm.kernel.db import transaction
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.registry import QUESTION
from tests.scrm.wecom.conftest import planned


def _put(made: int, **values) -> int:
    with transaction():
        db_session().execute(update(Effect).where(Effect.id == made).values(**values))
    db_session().expire_all()
    return made


def test_effects_are_listed_newest_first_and_filtered(api):
    one = planned("remark", {"userid": "u"}, subject="follow:1")
    two = _put(planned("welcome", {"welcome_code": "C"}), state=EffectState.FAILED, errcode=41050)
    assert [e["id"] for e in api.get("/api/v1/effects").json["items"]] == [two, one]
    for query, found in {
        "state=failed": [two],
        "kind=remark": [one],
        "errcode=41050": [two],
        "subject=follow:1": [one],
        "errcode=1&kind=remark": [],
    }.items():
        assert [e["id"] for e in api.get(f"/api/v1/effects?{query}").json["items"]] == found, query
    page = api.get("/api/v1/effects?limit=1").json
    assert [e["id"] for e in page["items"]] == [two]
    rest = api.get(f"/api/v1/effects?limit=1&cursor={page['next_cursor']}").json
    assert ([e["id"] for e in rest["items"]], rest["next_cursor"]) == ([one], None)


def test_an_effect_shows_its_payload_without_codes_and_explains_its_errcode(api):
    made = planned("welcome", {"welcome_code": "SECRETCODE", "text": {"content": "你好"}})
    shown = api.get(f"/api/v1/effects/{_put(made, state=EffectState.FAILED, errcode=60020)}")
    assert "SECRETCODE" not in shown.text
    assert shown.json["payload"] == {"welcome_code": "***", "text": {"content": "你好"}}
    assert shown.json["reason"]["kind"] == "denied"
    assert "可信IP" in shown.json["reason"]["page"]


@pytest.mark.parametrize("path", ["state=odd", "kind=odd", "errcode=x", "colour=red"])
def test_a_query_that_makes_no_sense_is_refused(api, path):
    assert api.get(f"/api/v1/effects?{path}").status_code == 422


def test_an_unknown_effect_is_settled_by_what_a_person_saw(api, heard):
    for outcome in ("confirmed", "failed"):
        made = _put(planned("broadcast_remind", {"msgid": "m"}), state=EffectState.UNKNOWN)
        answer = api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": outcome})
        assert (answer.status_code, answer.json["state"]) == (200, outcome)
        assert answer.json["finished_at"] is not None
        assert (heard[-1].effect_id, heard[-1].state) == (made, outcome)
        assert api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": outcome}).status_code == 409


def test_an_unknown_effect_can_be_sent_again_unless_its_moment_passed(api):
    made = _put(planned("broadcast_remind", {"msgid": "m"}), state=EffectState.UNKNOWN, attempts=4)
    answer = api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": "again"})
    assert (answer.json["state"], answer.json["attempts"]) == ("planned", 0)
    late = utcnow() - timedelta(seconds=1)
    _put(made, state=EffectState.UNKNOWN, deadline_at=late)
    assert api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": "again"}).status_code == 409


def test_only_failed_effects_are_retried(api):
    made = planned("remark", {"userid": "u"})
    assert api.post(f"/api/v1/effects/{made}/retry").status_code == 409
    _put(made, state=EffectState.FAILED, errcode=60020, attempts=5)
    answer = api.post(f"/api/v1/effects/{made}/retry").json
    assert (answer["state"], answer["attempts"], answer["errcode"]) == ("planned", 0, None)
    assert db_session().scalar(select(Effect.state).where(Effect.id == made)) == EffectState.PLANNED


def test_an_effect_in_a_workers_hands_is_left_alone(api):
    made = _put(
        planned("remark", {}), state=EffectState.UNKNOWN, lease_until=utcnow() + timedelta(seconds=30)
    )
    assert api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": "failed"}).status_code == 409


def test_bad_resolutions_and_missing_effects_are_refused(api):
    made = _put(planned("remark", {}), state=EffectState.UNKNOWN)
    assert api.post(f"/api/v1/effects/{made}/resolve", json={"outcome": "maybe"}).status_code == 422
    assert api.post(f"/api/v1/effects/{made}/resolve", json={}).status_code == 422
    for path in ("/api/v1/effects/999999", "/api/v1/effects/999999/retry"):
        call = api.post if path.endswith("retry") else api.get
        assert call(path).status_code == 404


def test_reading_and_writing_need_their_permissions(session, api_with):
    made = _put(planned("remark", {}), state=EffectState.FAILED)
    reader = api_with("effects:read")
    assert reader.get(f"/api/v1/effects/{made}").status_code == 200
    assert reader.post(f"/api/v1/effects/{made}/retry").status_code == 403
    assert api_with("tags:read").get("/api/v1/effects").status_code == 403


def test_effects_are_found_by_app_time_and_need_of_a_person(api):
    old = _put(planned("remark", {}), created_at=utcnow() - timedelta(days=2), app="other")
    asked = _put(planned("broadcast_remind", {}), state=EffectState.UNKNOWN, parked=Parked.PERSON)
    plain = planned("remark", {})
    day_ago = (utcnow() - timedelta(days=1)).isoformat()
    for query, found in {
        "app=other": [old],
        "until={}": [old],
        "since={}": [plain, asked],
        "needs_person=true": [asked],
        "needs_person=false": [plain, old],
        "parked=person": [asked],
        "queue=broadcast": [asked],
    }.items():
        path = f"/api/v1/effects?{query.format(quote(day_ago))}"
        assert [e["id"] for e in api.get(path).json["items"]] == found, query


def test_effects_are_counted(api):
    for _ in range(2):
        _put(planned("remark", {}), state=EffectState.FAILED, errcode=60020)
    _put(planned("remark", {}), state=EffectState.FAILED, errcode=-1, parked=Parked.EXHAUSTED)
    planned("welcome", {})
    names = ("kind", "state", "errcode", "parked", "effects")
    items = api.get("/api/v1/effects/stats").json["items"]
    counts = {tuple(item[name] for name in names) for item in items}
    assert counts == {
        ("remark", "failed", 60020, None, 2),
        ("remark", "failed", -1, "exhausted", 1),
        ("welcome", "planned", None, None, 1),
    }
    only = api.get("/api/v1/effects/stats?needs_person=true").json["items"]
    assert [item["effects"] for item in only] == [1]


@pytest.mark.parametrize("kind", ["broadcast_remind", "mark_tag", "welcome"])
def test_a_person_is_asked_what_to_look_at_and_given_the_answers(api, kind):
    made = _put(planned(kind, {}), state=EffectState.UNKNOWN, parked=Parked.PERSON)
    shown = api.get(f"/api/v1/effects/{made}").json
    assert shown["question"]["en"] != QUESTION[1]  # each kind says what to look at
    assert not shown["question"]["zh"].isascii()
    assert [choice["outcome"] for choice in shown["choices"]] == ["confirmed", "failed", "again"]
    for choice in shown["choices"]:
        assert choice["en"]
        assert not choice["zh"].isascii()
        _put(made, state=EffectState.UNKNOWN, parked=Parked.PERSON)
        path = f"/api/v1/effects/{made}/{choice['action']}"
        answer = api.post(path, json={"outcome": choice["outcome"]})
        assert (answer.status_code, answer.json["parked"]) == (200, None)


def test_nothing_is_asked_while_wecom_can_be(api):
    made = _put(planned("mark_tag", {}), state=EffectState.UNKNOWN, next_at=utcnow())
    assert api.get(f"/api/v1/effects/{made}").json["question"] is None


def test_sending_again_is_no_choice_when_its_moment_passed(api):
    late = utcnow() - timedelta(seconds=1)
    unknown = _put(planned("welcome", {}), state=EffectState.UNKNOWN, parked=Parked.PERSON, deadline_at=late)
    failed = _put(planned("welcome", {}), state=EffectState.FAILED, deadline_at=late)
    choices = api.get(f"/api/v1/effects/{unknown}").json["choices"]
    assert [choice["outcome"] for choice in choices] == ["confirmed", "failed"]
    assert api.get(f"/api/v1/effects/{failed}").json["choices"] == []


def test_the_limits_are_shown_with_their_sources(api, sandbox):
    shown = api.get("/api/v1/limits?api=message/send&api=media/uploadimg&api=externalcontact/get").json[
        "items"
    ]
    by_api = {item["api"]: item for item in shown}
    assert by_api["message/send"]["app"] == "main"
    image = by_api["media/uploadimg"]
    assert {(w["seconds"], w["figure"], w["left"], w["source"]) for w in image["windows"]} >= {
        (86400, 1000, 1000, "1.4")
    }
    assert image["door"] == {
        "closed_seconds": 0.0,
        "circuit": "closed",
        "open_seconds": None,
        "pause_seconds": 0.0,
    }
    assert by_api["externalcontact/get"]["calls_at_once"] == 20
    assert len(api.get("/api/v1/limits").json["items"]) > 20


def test_a_key_with_a_data_scope_reads_no_payload_and_sends_nothing_again(api_with, session):
    """Payloads hold remarks and messages to customers of everybody (lesson 35)."""
    limited = api_with("*", staff_ids=[1])
    made = _put(
        planned("remark", {"userid": "u", "remark": "老张"}, subject="follow:1"), state=EffectState.FAILED
    )
    assert "老张" not in limited.get("/api/v1/effects").text
    answers = [
        limited.get(f"/api/v1/effects/{made}"),
        limited.post(f"/api/v1/effects/{made}/retry"),
        limited.post(f"/api/v1/effects/{made}/resolve", json={"outcome": "confirmed"}),
        limited.post("/api/v1/effects/retry", json={"ids": [made]}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert "data scope" in answers[0].json["detail"]
    assert api_with("*").get(f"/api/v1/effects/{made}").json["payload"]["remark"] == "老张"
