"""Signed requests that are repeated: the same bytes do nothing, a request signed anew is an ordinary one."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text

from config.facts import Source
from scrm.kernel import redis as kernel_redis
from scrm.kernel import settings as kernel_settings
from scrm.kernel.clock import shifted, utcnow

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


@pytest.fixture
def mall(app, session, monkeypatch):
    """A client for signed requests of the source ``mall``."""
    source = Source(secrets=(SecretStr(SECRET),))
    changed = kernel_settings.settings().model_copy(update={"sources": {"mall": source, "till": source}})
    monkeypatch.setitem(app.extensions, kernel_settings.EXTENSION, changed)
    return app.test_client()


def request_of(name, message_id="msg_1", **more):
    """A product with this name, signed now: (body, headers)."""
    body = json.dumps({"products": [{"source_id": "p1", "name": name, **more}]}).encode()
    at = str(int(utcnow().timestamp()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return body, {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": signature}


def post(client, sent, source="mall"):
    return client.post(f"/api/v1/hooks/{source}/products", data=sent[0], headers=sent[1])


def names(session):
    return session.scalars(text("SELECT name FROM products ORDER BY source")).all()


def test_the_same_request_again_does_nothing_and_gets_the_first_answer(mall, session):
    captured = request_of("shoe")
    first = post(mall, captured)
    assert first.json["created"] == 1
    assert post(mall, request_of("boot", "msg_2")).json["updated"] == 1
    again = post(mall, captured)
    assert (again.status_code, again.json, again.headers["Idempotency-Replayed"]) == (200, first.json, "true")
    assert names(session) == ["boot"]


def test_the_same_id_signed_anew_or_of_another_source_is_looked_at(mall, session):
    assert post(mall, request_of("shoe")).json["created"] == 1
    assert post(mall, request_of("shoe"), source="till").json["created"] == 1
    with shifted(timedelta(seconds=2)):
        assert post(mall, request_of("shoe")).json["unchanged"] == 1
    with shifted(timedelta(seconds=4)):
        assert post(mall, request_of("boot")).json["updated"] == 1


def test_what_was_refused_can_be_sent_again(mall, session, redis):
    body, headers = request_of("shoe")
    assert post(mall, (body + b" ", headers)).status_code == 401
    assert post(mall, (body, headers)).json["created"] == 1
    with shifted(timedelta(seconds=301)):
        assert post(mall, (body, headers)).status_code == 401
    [kept] = redis.keys("scrm:hook:*")
    assert 600 <= redis.ttl(kept) <= 660


def test_without_redis_rows_are_known_by_their_ids(mall, session, app, monkeypatch):
    class Away:
        def __getattr__(self, name):
            def fail(*_, **__):
                raise RedisAway

            return fail

    monkeypatch.setitem(app.extensions, kernel_redis.EXTENSION, Away())
    sent = request_of("shoe")
    assert post(mall, sent).json["created"] == 1
    assert post(mall, sent).json["unchanged"] == 1
