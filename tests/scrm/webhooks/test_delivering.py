"""Events reach their endpoints: signed, at least once, and nobody waits for a slow one."""

import base64
import hashlib
import hmac
import json

from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import deliver_all, deliveries, subscribe_to


def signed_by(secret, request):
    """Whether a request carries this secret's signature, by the letter of the specification."""
    content = b".".join(
        [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
    )
    digest = hmac.new(base64.b64decode(secret[len("whsec_") :]), content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}" in request.headers["webhook-signature"].split(" ")


def test_a_tag_that_is_given_arrives_signed(session, app, receiver):
    _, secret = subscribe_to(receiver.url, "tag.*")
    with transaction():
        publish(TagsChanged(7, (3, 4), (), "rule:1"), TagsChanged(8, (3,), (), "rule:1"))
    deliver_all(app)
    [request] = receiver.requests
    assert request.path == "/hooks?key=1"
    assert request.headers["content-type"] == "application/json"
    assert signed_by(secret, request)
    assert abs(int(request.headers["webhook-timestamp"]) - utcnow().timestamp()) < 5
    body = json.loads(request.body)
    assert body["type"] == "tag.given"
    assert body["data"] == {
        "source": "rule:1",
        "items": [{"customer_id": 7, "tag_ids": [3, 4]}, {"customer_id": 8, "tag_ids": [3]}],
    }
    [row] = deliveries()
    assert (row.state, row.status, row.attempts) == ("delivered", 204, 1)
