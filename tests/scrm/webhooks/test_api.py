"""Endpoints and deliveries in the API: made, changed, tested, sent again; secrets are shown once."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.webhooks.models import WebhookSecret
from scrm.webhooks.service.catalogue import TYPES
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import deliver_all, deliveries, subscribe_to

ENDPOINTS = "/api/v1/webhook-endpoints"
DELIVERIES = "/api/v1/webhook-deliveries"


def tell(*customer_ids):
    for customer_id in customer_ids:
        with transaction():
            publish(TagsChanged(customer_id, (3,), (), "rule:1"))


def make(api, url, **fields):
    answer = api.post(ENDPOINTS, json={"url": url, "event_types": ["tag.*"], **fields})
    assert answer.status_code == 201, answer.json
    return answer.json


def test_an_endpoint_is_made_tested_changed_and_taken_away(api, app, receiver):
    made = make(api, receiver.url, description="till")
    assert (made["state"], made["payload"], made["max_per_second"], made["waiting"]) == (
        "active",
        "thin",
        None,
        0,
    )
    ping = api.post(f"{ENDPOINTS}/{made['id']}/ping")
    assert ping.status_code == 202
    deliver_all(app)
    seen = api.get(f"{DELIVERIES}/{ping.json['id']}").json
    assert (seen["state"], seen["status"], seen["type"]) == ("delivered", 204, "webhook.ping")
    assert receiver.ids() == [seen["webhook_id"]]
    changed = api.patch(f"{ENDPOINTS}/{made['id']}", json={"event_types": ["*"], "max_per_second": 5})
    assert (changed.json["event_types"], changed.json["max_per_second"]) == (["*"], 5)
    assert api.delete(f"{ENDPOINTS}/{made['id']}").status_code == 204
    assert api.get(f"{ENDPOINTS}/{made['id']}").status_code == 404
    assert api.get(ENDPOINTS).json["items"] == []
    tell(1)
    assert len(deliveries()) == 1


def test_a_secret_is_shown_once_and_is_nowhere_in_plain_text(api, session, receiver):
    made = make(api, receiver.url)
    rotated = api.post(f"{ENDPOINTS}/{made['id']}/secrets", json={}).json["secret"]
    assert made["secret"].startswith("whsec_")
    assert rotated != made["secret"]
    shown = [
        api.get(ENDPOINTS).text,
        api.get(f"{ENDPOINTS}/{made['id']}").text,
        api.get("/api/v1/openapi.json").text,
    ]
    for row in session.scalars(select(WebhookSecret)):
        shown += [row.sealed.hex(), row.sealed.decode("latin-1")]
    shown += [str(row) for row in session.execute(text("SELECT * FROM idempotency_keys"))]
    for secret in (made["secret"], rotated):
        assert not any(secret in text or secret[6:] in text for text in shown)
    lives = api.get(f"{ENDPOINTS}/{made['id']}").json["secrets"]
    assert [bool(each["expires_at"]) for each in lives] == [False, True]


def test_creating_with_an_idempotency_key_keeps_no_secret(api, session, receiver):
    api.post(ENDPOINTS, json={"url": receiver.url, "event_types": ["*"]}, headers={"Idempotency-Key": "k1"})
    assert session.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


def test_the_address_is_looked_at_when_it_is_saved(api, receiver, configure):
    configure(allowed_networks=())
    for url in (receiver.url, "https://169.254.169.254/latest", "https://u:p@example.com/", "no address"):
        answer = api.post(ENDPOINTS, json={"url": url, "event_types": ["*"]})
        assert answer.status_code == 422
        assert list(answer.json["fields"]) == ["url"]
    configure()
    made = make(api, receiver.url)
    assert api.patch(f"{ENDPOINTS}/{made['id']}", json={"url": "https://10.0.0.1/"}).status_code == 422
    assert api.get(f"{ENDPOINTS}/{made['id']}").json["url"] == receiver.url


@pytest.mark.parametrize(
    "body",
    [
        {}, {"event_types": ["*"]}, {"event_types": []}, {"event_types": ["nothing.known"]}, {"event_types": ["webhook.ping"]},
        {"payload": "obese"}, {"max_per_second": 0}, {"unknown": 1}, {"state": "active"}, {"description": "x" * 501},
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(api, receiver, body):
    given = {"url": receiver.url, "event_types": ["*"]} if "event_types" not in body and body else {}
    assert api.post(ENDPOINTS, json={**given, **body}).status_code == 422
    assert api.get(ENDPOINTS).json["items"] == []


def test_who_may_not_read_persons_gets_no_person_data_sent(session, api_with, receiver):
    key = api_with("webhooks:write", "webhooks:read", "customers:read")
    fat = {"url": receiver.url, "event_types": ["*"], "payload": "fat"}
    answer = key.post(ENDPOINTS, json=fat)
    assert answer.status_code == 403
    assert "orders:read" in answer.json["detail"]
    thin = key.post(ENDPOINTS, json={**fat, "payload": "thin"}).json
    assert key.patch(f"{ENDPOINTS}/{thin['id']}", json={"payload": "fat"}).status_code == 403
    every = api_with("webhooks:write", "customers:read", "orders:read")
    fat = every.post(ENDPOINTS, json=fat).json
    assert key.patch(f"{ENDPOINTS}/{fat['id']}", json={"url": receiver.url + "2"}).status_code == 403
    assert key.patch(f"{ENDPOINTS}/{fat['id']}", json={"description": "x"}).status_code == 200


def test_a_key_that_sees_only_some_customers_sees_no_webhooks(session, api_with, receiver):
    id_, _ = subscribe_to(receiver.url)
    tell(1)
    key = api_with(staff_ids=[1])
    one, delivery = f"{ENDPOINTS}/{id_}", f"{DELIVERIES}/{deliveries()[0].id}"
    since = {"since": "2026-01-01T00:00:00Z"}
    answers = [
        key.get(ENDPOINTS), key.get(one), key.get(DELIVERIES), key.get(delivery), key.delete(one),
        key.post(ENDPOINTS, json={"url": receiver.url, "event_types": ["*"]}), key.patch(one, json={}),
        key.post(f"{one}/secrets", json={}), key.post(f"{one}/ping"), key.post(f"{one}/redeliver", json=since),
        key.post(f"{delivery}/redeliver"),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {403}


def test_reading_is_not_writing(session, api_with, receiver):
    subscribe_to(receiver.url)
    key = api_with("webhooks:read")
    assert key.get(ENDPOINTS).status_code == 200
    assert key.post(ENDPOINTS, json={"url": receiver.url, "event_types": ["*"]}).status_code == 403


def test_a_disabled_endpoint_hears_of_nothing_new_and_gets_the_rest_when_it_is_back(api, app, receiver):
    made = make(api, receiver.url)
    one = f"{ENDPOINTS}/{made['id']}"
    tell(1)
    off = api.patch(one, json={"state": "disabled"}).json
    assert (off["state"], off["reason"], off["waiting"]) == ("disabled", "person", 1)
    tell(2)
    deliver_all(app)
    assert receiver.requests == []
    assert api.post(f"{one}/ping").status_code == 409
    assert api.post(f"{one}/redeliver", json={"since": "2026-01-01T00:00:00Z"}).status_code == 409
    on = api.patch(one, json={"state": "active"}).json
    assert (on["state"], on["reason"], on["disabled_at"]) == ("active", None, None)
    deliver_all(app)
    assert [each["data"]["items"][0]["customer_id"] for each in receiver.bodies()] == [1]


def test_what_failed_since_a_time_goes_out_again_under_its_id(api, app, session, receiver):
    made = make(api, receiver.url)
    receiver.answer = lambda _: 500
    tell(1, 2)
    with shifted(timedelta(hours=1)):
        tell(3)
    session.execute(text("UPDATE webhook_deliveries SET attempts = 9"))
    with shifted(timedelta(hours=2)):
        deliver_all(app)
    assert [row.state for row in deliveries()] == ["failed"] * 3
    receiver.answer = lambda _: 200
    url, far = f"{ENDPOINTS}/{made['id']}/redeliver", "2026-01-01T00:00:00Z"
    since = (utcnow() + timedelta(minutes=30)).isoformat()
    with shifted(timedelta(hours=2)):
        assert api.post(url, json={"since": since}).json == {"redelivered": 1, "next_after": None}
        deliver_all(app)
        assert [row.state for row in deliveries()] == ["failed", "failed", "delivered"]
        assert receiver.ids()[-1] in receiver.ids()[:-1]
        assert api.post(url, json={"since": far, "until": far}).status_code == 422
        assert api.post(url, json={"since": far}).json["redelivered"] == 2
        deliver_all(app)
        assert api.post(url, json={"since": far}).json["redelivered"] == 0
        assert api.post(url, json={"since": far, "states": ["delivered", "failed"]}).json["redelivered"] == 3
        deliver_all(app)
    assert len(receiver.requests) == 9


def test_many_are_sent_again_in_parts(api, app, session, receiver, monkeypatch):
    monkeypatch.setattr("scrm.webhooks.service.redelivery.AT_ONCE", 2)
    made = make(api, receiver.url)
    tell(1, 2, 3)
    deliver_all(app)
    url, after, taken = f"{ENDPOINTS}/{made['id']}/redeliver", 0, []
    while after is not None:
        asked = {"since": "2026-01-01T00:00:00Z", "states": ["delivered"], "after": after}
        answer = api.post(url, json=asked).json
        taken, after = [*taken, answer["redelivered"]], answer["next_after"]
    assert taken == [2, 1]


def test_one_delivery_is_sent_again(api, app, receiver):
    make(api, receiver.url)
    tell(1)
    deliver_all(app)
    [row] = deliveries()
    again = api.post(f"{DELIVERIES}/{row.id}/redeliver")
    assert (again.status_code, again.json["state"], again.json["attempts"]) == (202, "pending", 0)
    deliver_all(app)
    assert len(set(receiver.ids())) == 1
    assert len(receiver.requests) == 2
    assert api.post(f"{DELIVERIES}/999/redeliver").status_code == 404


def test_deliveries_are_listed_by_what_is_asked(api, app, receiver, make_receiver):
    one, _ = subscribe_to(receiver.url, "tag.given")
    subscribe_to(make_receiver().url, "tag.*")
    tell(1)
    deliver_all(app)
    tell(2)

    def listed(**query):
        return len(api.get(DELIVERIES, query_string=query).json["items"])

    assert (listed(), listed(endpoint_id=one), listed(state="pending"), listed(type="tag.taken")) == (
        4,
        2,
        2,
        0,
    )
    assert listed(endpoint_id=one, state="delivered", type="tag.given") == 1
    assert listed(since=(utcnow() + timedelta(hours=1)).isoformat()) == 0
    page = api.get(DELIVERIES, query_string={"limit": 3}).json
    rest = api.get(DELIVERIES, query_string={"limit": 3, "cursor": page["next_cursor"]}).json
    assert len({each["id"] for each in page["items"] + rest["items"]}) == 4
    assert api.get(DELIVERIES, query_string={"type": "no"}).status_code == 422


def test_the_catalogue_names_every_type(api):
    answer = api.get("/api/v1/webhook-event-types").json
    assert {each["type"] for each in answer["items"]} == set(TYPES)
    assert {"*", "customer.*", "tag.given"} <= set(answer["subscriptions"])
    assert all(each["zh"] and each["en"] and each["schema"]["properties"] for each in answer["items"])


def test_there_is_an_end_to_endpoints(api, session, receiver, monkeypatch):
    monkeypatch.setattr("scrm.webhooks.service.endpoints.MOST_ENDPOINTS", 1)
    make(api, receiver.url)
    assert api.post(ENDPOINTS, json={"url": receiver.url, "event_types": ["*"]}).status_code == 409
