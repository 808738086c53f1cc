"""Signed batches: the reference signature, refusals, rotation, the replay window; the same rows as over the API."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from config.facts import Source
from scrm.kernel import settings as kernel_settings
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.signing import secret_bytes, signature

OLD, NEW = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture
def hooks(app, session, monkeypatch):
    """The source ``mall`` with two secrets."""
    source = Source(secrets=(SecretStr(OLD), SecretStr(NEW)))
    changed = kernel_settings.settings().model_copy(update={"sources": {"mall": source}})
    monkeypatch.setitem(app.extensions, kernel_settings.EXTENSION, changed)
    return app.test_client()


def post(client, body, *, secret=NEW, kind="events", source="mall", **headers):
    sent = json.dumps(body).encode()
    at = str(int(utcnow().timestamp()))
    # written out as the specification says, not with our own function
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1." + at.encode() + b"." + sent, hashlib.sha256).digest()
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": at,
        "webhook-signature": "v1,AAAA v1," + base64.b64encode(digest).decode(),
    }
    return client.post(f"/api/v1/hooks/{source}/{kind}", data=sent, headers=signed | headers)


def test_our_signature_is_the_one_of_the_published_example():
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_signed_batch_is_stored_under_either_secret(hooks, viewed, event, session, secret):
    answer = post(hooks, {"events": [event()]}, secret=secret)
    assert (answer.status_code, answer.json["created"]) == (200, 1)
    assert session.scalar(text("SELECT source FROM behaviour_events")) == "mall"


def test_products_and_orders_come_signed_too(hooks, session):
    assert (
        post(hooks, {"products": [{"source_id": "p1", "name": "shoe"}]}, kind="products").json["created"] == 1
    )
    history = [{"status": "placed", "at": "2026-11-01T00:00:00Z"}]
    row = {"source_id": "o1", "history": history}
    assert post(hooks, {"source": "mall", "orders": [row]}, kind="orders").json["created"] == 1


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"webhook-signature": "v1,AAAA"}, "none of the secrets"),
        ({"webhook-signature": "v1,é"}, "none of the secrets"),
        ({"webhook-id": "msg_2"}, "none of the secrets"),
        ({"webhook-id": ""}, "sign the request"),
        ({"webhook-timestamp": "now"}, "sign the request"),
        ({"webhook-timestamp": "9" * 30}, "from now"),
    ],
)
def test_a_request_that_is_not_signed_right_is_refused(hooks, viewed, event, session, headers, words):
    answer = post(hooks, {"events": [event()]}, **headers)
    assert (answer.status_code, words in answer.json["detail"]) == (401, True)
    assert session.scalar(text("SELECT count(*) FROM behaviour_events")) == 0


@pytest.mark.parametrize(("minutes", "status"), [(4, 200), (6, 401), (-4, 200), (-6, 401)])
def test_a_signature_is_good_for_five_minutes(hooks, viewed, event, session, monkeypatch, minutes, status):
    body = {"events": [event()]}
    at = str(int((utcnow() - timedelta(minutes=minutes)).timestamp()))
    with shifted(-timedelta(minutes=minutes)):
        signed = signature(OLD, "msg_1", at, json.dumps(body).encode())
    answer = post(hooks, body, **{"webhook-timestamp": at, "webhook-signature": signed})
    assert answer.status_code == status


def test_a_source_signs_for_itself_only(hooks, viewed, event, session):
    answer = post(hooks, {"source": "till", "events": [event()]})
    assert "whose signature" in answer.json["fields"]["source"]
    assert post(hooks, {"events": [event()]}, source="till").status_code == 404


@pytest.mark.parametrize("secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_" + "A" * 100])
def test_a_secret_of_another_shape_is_refused(secret):
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        secret_bytes(secret)
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        Source(secrets=(SecretStr(secret),))
