"""Every attempt of a delivery is kept, up to ten: when, what came of it, how long it took."""

from datetime import timedelta

from sqlalchemy import text

from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.webhooks.jobs import forget_events
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import deliver_all, deliveries, subscribe_to

PATH = "/api/v1/webhook-deliveries"


def tell():
    with transaction():
        publish(TagsChanged(1, (3,), (), "rule:1"))


def shown(api):
    [row] = deliveries()
    return api.get(f"{PATH}/{row.id}").get_json()


def test_attempts_stay_when_others_follow(api, app, receiver):
    answers = iter([500, 503, 200])
    subscribe_to(receiver.url)
    receiver.answer = lambda _: next(answers)
    tell()
    deliver_all(app)
    for hours in (1, 2):
        with shifted(timedelta(hours=hours)):
            deliver_all(app)
    found = shown(api)
    assert [(each["status"], each.get("error")) for each in found["tries"]] == [
        (500, "answered 500"),
        (503, "answered 503"),
        (200, None),
    ]
    assert [each["at"] for each in found["tries"]] == sorted(each["at"] for each in found["tries"])
    assert (found["tries"][-1]["at"], found["tries"][-1]["milliseconds"]) == (
        found["tried_at"],
        found["milliseconds"],
    )


def test_an_attempt_without_an_answer_says_why(api, app, receiver):
    subscribe_to(receiver.url)
    receiver.server.shutdown()
    receiver.server.server_close()
    tell()
    deliver_all(app)
    [only] = shown(api)["tries"]
    assert "status" not in only
    assert only["error"] == "no connection: Connection refused"


def test_no_more_than_ten_are_kept_and_the_newest_are(api, app, receiver):
    subscribe_to(receiver.url)
    counted = iter(range(400, 409))
    receiver.answer = lambda _: next(counted, 200)
    tell()
    for hour in range(12):
        with shifted(timedelta(hours=hour)):
            api.post(f"{PATH}/{deliveries()[0].id}/redeliver")
            deliver_all(app)
    assert [each["status"] for each in shown(api)["tries"]] == [
        402,
        403,
        404,
        405,
        406,
        407,
        408,
        200,
        200,
        200,
    ]


def test_attempts_go_with_their_delivery(session, app, receiver):
    subscribe_to(receiver.url)
    tell()
    deliver_all(app)
    with shifted(timedelta(days=400)):
        forget_events()
    assert session.scalar(text("SELECT count(*) FROM webhook_deliveries")) == 0
