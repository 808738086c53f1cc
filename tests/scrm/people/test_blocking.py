"""Values that somebody blocks identify nobody, until the block is lifted; people come signed too."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr

from config.facts import Source
from scrm.kernel import settings as kernel_settings
from scrm.kernel.clock import utcnow

PHONE = {"kind": "phone", "value": "139 1234 5678", "note": "门店座机 the shop's own"}
SECRET = base64.b64encode(b"k" * 32).decode()


def test_a_blocked_value_identifies_nobody_until_it_is_lifted(api, found, rows):
    (owner,) = found({"phone": "13912345678", "member_no": "M1"})
    made = api.post("/api/v1/people/blocked-values", json=PHONE)
    assert (made.status_code, made.json["value"], made.json["note"]) == (201, "+8613912345678", PHONE["note"])
    assert rows("SELECT kind FROM identities") == [("member_no",)]
    assert found({"phone": "13912345678"}) == [None]
    (listed,) = api.get("/api/v1/people/blocked-values?kind=phone").json["items"]
    assert listed["id"] == made.json["id"]
    assert api.delete(f"/api/v1/people/blocked-values/{listed['id']}").status_code == 204
    assert found({"phone": "13912345678"}) == [owner]
    assert api.get("/api/v1/people/blocked-values").json["items"] == []


def test_a_lifted_value_that_too_many_shared_is_not_blocked_by_the_next_one(api, found, rows, configure):
    configure(shared_by=1)
    found({"phone": "13912345678", "member_no": "M1"})
    found({"phone": "13912345678", "member_no": "M2"})
    (listed,) = api.get("/api/v1/people/blocked-values").json["items"]
    assert listed["reason"] == "shared"
    api.delete(f"/api/v1/people/blocked-values/{listed['id']}")
    found({"phone": "13912345678", "member_no": "M1"})
    assert rows("SELECT value FROM identities WHERE kind = 'phone'") == [("+8613912345678",)]
    assert rows("SELECT count(*) FROM blocked_values") == [(0,)]


def test_blocking_twice_and_wecoms_own_ids_are_refused(api, session):
    assert api.post("/api/v1/people/blocked-values", json=PHONE).status_code == 201
    assert api.post("/api/v1/people/blocked-values", json=PHONE).status_code == 409
    own = {"kind": "external_userid", "value": "wmABC", "note": "no"}
    assert api.post("/api/v1/people/blocked-values", json=own).json["fields"].keys() == {"kind"}
    assert api.delete("/api/v1/people/blocked-values/999").status_code == 404


def test_blocking_needs_the_permission_and_a_key_for_everybody(session, api_with):
    assert api_with("people:read").get("/api/v1/people/blocked-values").status_code == 403
    some = api_with("people:merge", staff_ids=[1])
    assert some.get("/api/v1/people/blocked-values").status_code == 403
    assert some.post("/api/v1/people/blocked-values", json=PHONE).status_code == 403


@pytest.fixture
def hooks(app, session, monkeypatch):
    source = Source(secrets=(SecretStr(f"whsec_{SECRET}"),))
    changed = kernel_settings.settings().model_copy(update={"sources": {"mall": source}})
    monkeypatch.setitem(app.extensions, kernel_settings.EXTENSION, changed)
    return app.test_client()


def post(client, body, key=SECRET):
    sent, at = json.dumps(body).encode(), str(int(utcnow().timestamp()))
    digest = hmac.new(base64.b64decode(key), f"msg_1.{at}.".encode() + sent, hashlib.sha256).digest()
    signed = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(digest).decode()}  # fmt: skip
    return client.post("/api/v1/hooks/mall/people", data=sent, headers=signed)


def test_people_come_signed_as_events_do(hooks, rows):
    body = {
        "people": [{"source_id": "1", "identities": {"phone": "13912345678"}, "fields": {"name": "王芳"}}]
    }
    assert post(hooks, body).json["created"] == 1
    assert rows("SELECT source, source_id FROM person_records") == [("mall", "1")]


def test_people_signed_by_a_stranger_are_refused(hooks, rows):
    answer = post(
        hooks,
        {"people": [{"source_id": "1", "identities": {"phone": "13912345678"}}]},
        base64.b64encode(b"n" * 32).decode(),
    )
    assert answer.status_code == 401
    assert rows("SELECT count(*) FROM people") == [(0,)]
