"""Events reach their endpoints: signed, at least once, in their own time, and nobody waits for a slow one."""

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from scrm.alerts.models import AlertEntry
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.kernel.signing import signature
from scrm.webhooks.jobs import forget_events
from scrm.webhooks.models import WebhookDelivery
from scrm.webhooks.service.claiming import claim_deliveries, has_work
from scrm.webhooks.service.noting import News, note
from scrm.webhooks.service.posting import Answer
from scrm.webhooks.service.recording import RETRIES, Outcome, next_attempt, record
from scrm.webhooks.service.secrets import rotate_secret
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import deliver_all, deliveries, endpoint, subscribe_to


def signatures(secret, message_id, timestamp, body):
    """The signature by the letter of the specification, written without our code."""
    content = message_id.encode() + b"." + timestamp.encode() + b"." + body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed_by(secret, request):
    names = ("webhook-id", "webhook-timestamp")
    right = signatures(secret, *(request.headers[name] for name in names), request.body)
    return right in request.headers["webhook-signature"].split(" ")


def tell(*customer_ids, tag=3):
    """Each of these gets a tag, in a transaction of its own."""
    for customer_id in customer_ids:
        with transaction():
            publish(TagsChanged(customer_id, (tag,), (), "rule:1"))


def customers_of(requests):
    return [item["customer_id"] for each in requests for item in each.json["data"]["items"]]


@given(st.binary(min_size=24, max_size=64), st.uuids(), st.integers(0, 2**33), st.binary(max_size=500))
def test_signatures_are_those_of_the_specification(key, uid, timestamp, body):
    secret = "whsec_" + base64.b64encode(key).decode()
    assert signature(secret, f"evt_{uid.hex}", timestamp, body) == signatures(
        secret, f"evt_{uid.hex}", str(timestamp), body
    )


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
    assert (row.state, row.status, row.attempts, row.error) == ("delivered", 204, 1, None)
    assert (row.next_at, row.lease_token) == (None, None)
    assert row.finished_at >= row.tried_at


def test_while_a_secret_rotates_both_sign_and_then_the_new_one_alone(session, app, receiver):
    id_, old = subscribe_to(receiver.url)
    with transaction():
        new = rotate_secret(id_, 2)
    tell(1)
    deliver_all(app)
    assert (signed_by(old, receiver.requests[0]), signed_by(new, receiver.requests[0])) == (True, True)
    with shifted(timedelta(hours=2, seconds=1)):
        tell(2)
        deliver_all(app)
    assert (signed_by(old, receiver.requests[1]), signed_by(new, receiver.requests[1])) == (False, True)


def test_a_secret_that_became_known_ends_at_once(session, app, receiver):
    id_, old = subscribe_to(receiver.url)
    with transaction():
        new = rotate_secret(id_, 0)
    tell(1)
    deliver_all(app)
    assert (signed_by(old, receiver.requests[0]), signed_by(new, receiver.requests[0])) == (False, True)


def test_without_its_secret_nothing_is_sent_unsigned(session, app, receiver, configure):
    subscribe_to(receiver.url)
    configure(secret_key=type(app.extensions["scrm_settings"].web.secret_key)("another key"))
    tell(1)
    deliver_all(app)
    assert receiver.requests == []
    assert "secret cannot be opened" in deliveries()[0].error


def test_a_failure_is_tried_again_on_schedule_with_the_same_id_and_a_new_timestamp(session, app, receiver):
    _, secret = subscribe_to(receiver.url)
    receiver.answer = lambda _: 500 if len(receiver.requests) < 3 else 200
    tell(1)
    started = utcnow()
    deliver_all(app)
    [row] = deliveries()
    assert (row.state, row.status, row.error) == ("pending", 500, "answered 500")
    assert 5 <= (row.next_at - started).total_seconds() < 6.5
    deliver_all(app)
    assert len(receiver.requests) == 1
    for by in (7, 7 + 331):
        with shifted(timedelta(seconds=by)):
            deliver_all(app)
    assert [row.state for row in deliveries()] == ["delivered"]
    assert len(set(receiver.ids())) == 1
    stamps = [int(each.headers["webhook-timestamp"]) for each in receiver.requests]
    assert stamps == sorted(set(stamps))
    assert all(signed_by(secret, each) for each in receiver.requests)
    assert len({each.body for each in receiver.requests}) == 1


def test_the_schedule_ends_after_ten_attempts_in_three_days():
    now, waits = utcnow(), []
    for attempts in range(1, 10):
        again = next_attempt(attempts, now)
        waits.append((again - now).total_seconds())
    assert next_attempt(10, now) is None
    assert all(plan <= wait <= plan * 1.1 for plan, wait in zip(RETRIES, waits, strict=True))
    assert 3 * 86400 < sum(RETRIES) < 3.2 * 86400


def test_who_never_answers_well_has_failed_in_the_end(session, app, receiver):
    subscribe_to(receiver.url)
    receiver.answer = lambda _: 500
    tell(1)
    current_session().execute(update(WebhookDelivery).values(attempts=9))
    deliver_all(app)
    [row] = deliveries()
    assert (row.state, row.attempts, row.next_at) == ("failed", 10, None)
    assert not has_work()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_for_everything_that_goes_there(session, app, receiver, status):
    id_, _ = subscribe_to(receiver.url)
    receiver.answer = lambda _: (status, {"Retry-After": "120"})
    tell(1)
    deliver_all(app)
    [row] = deliveries()
    assert row.next_at - utcnow() > timedelta(seconds=115)
    assert timedelta(seconds=115) < endpoint(id_).resume_at - utcnow() <= timedelta(seconds=120)
    tell(2)
    deliver_all(app)
    assert len(receiver.requests) == 1
    receiver.answer = lambda _: 200
    with shifted(timedelta(seconds=135)):
        deliver_all(app)
    assert sorted(customers_of(receiver.requests[1:])) == [1, 2]
    assert (endpoint(id_).resume_at, endpoint(id_).failures) == (None, 0)


def test_410_disables_at_once_and_tells_the_operators(session, app, receiver):
    id_, _ = subscribe_to(receiver.url)
    receiver.answer = lambda _: 410
    tell(1)
    deliver_all(app)
    assert (endpoint(id_).state, endpoint(id_).reason) == ("disabled", "gone")
    assert deliveries()[0].state == "failed"
    [told] = session.scalars(select(AlertEntry))
    assert told.kind == "webhook_disabled"
    assert "127.0.0.1" not in told.zh + told.en
    tell(2)
    deliver_all(app)
    assert len(deliveries()) == 1
    assert len(receiver.requests) == 1


def test_who_fails_for_five_days_straight_is_disabled(session, app, receiver):
    id_, _ = subscribe_to(receiver.url)
    receiver.answer = lambda _: 500
    tell(1)
    deliver_all(app)
    with shifted(timedelta(hours=23)):
        tell(2)
        deliver_all(app)
        assert session.scalar(select(AlertEntry.kind)) is None
    for days, hours in ((1, 1), (4, 23)):
        with shifted(timedelta(days=days, hours=hours)):
            tell(2)
            deliver_all(app)
            assert endpoint(id_).state == "active"
            assert session.scalars(select(AlertEntry.kind)).all() == ["webhook_failing"]
    with shifted(timedelta(days=5, hours=1)):
        tell(3)
        deliver_all(app)
    assert (endpoint(id_).state, endpoint(id_).reason) == ("disabled", "failing")
    told = session.scalars(select(AlertEntry.kind).order_by(AlertEntry.id)).all()
    assert told == ["webhook_failing", "webhook_disabled"]


def test_one_success_in_between_starts_the_five_days_anew(session, app, receiver):
    id_, _ = subscribe_to(receiver.url)
    receiver.answer = lambda got: 200 if customers_of([got]) == [2] else 500
    tell(1)
    deliver_all(app)
    with shifted(timedelta(days=3)):
        tell(2)
        deliver_all(app)
        assert endpoint(id_).failing_since is None or endpoint(id_).failing_since > utcnow() - timedelta(
            hours=1
        )
    with shifted(timedelta(days=6)):
        tell(3)
        deliver_all(app)
    assert endpoint(id_).state == "active"


def test_a_failing_endpoint_is_left_alone_and_tried_with_one_at_a_time(session, app, receiver):
    id_, _ = subscribe_to(receiver.url)
    receiver.answer = lambda _: 500
    tell(*range(20))
    deliver_all(app)
    first = len(receiver.requests)
    assert 5 <= first <= 12
    assert endpoint(id_).resume_at > utcnow()
    with shifted(timedelta(minutes=6)):
        deliver_all(app)
        assert len(receiver.requests) == first + 1
        receiver.answer = lambda _: 200
    with shifted(timedelta(minutes=12)):
        deliver_all(app)
    with shifted(timedelta(hours=1)):
        deliver_all(app)
    assert Counter(row.state for row in deliveries()) == {"delivered": 20}
    assert sorted(set(customers_of(receiver.requests))) == list(range(20))


def test_a_receiver_that_hangs_does_not_hold_up_the_others(session, app, make_receiver, configure):
    configure(concurrency=16, share=4, timeout_seconds=60.0)
    hanging, well = make_receiver(), make_receiver()
    meanwhile, everyone = [], threading.Event()

    def answer(_):
        if len(well.requests) == 60:
            meanwhile.append(len(hanging.requests))
            everyone.set()
        return 200

    hanging.answer = lambda _: 200 if everyone.wait(30) else 503
    well.answer = answer
    subscribe_to(hanging.url)
    subscribe_to(well.url)
    tell(*range(60))
    deliver_all(app)
    assert len(well.requests) == 60
    assert meanwhile[0] <= 4
    assert sorted(customers_of(hanging.requests)) == list(range(60))  # none was told 503 and came again


def test_an_endpoint_with_a_pace_gets_that_much_and_no_more(session, app, receiver):
    subscribe_to(receiver.url, max_per_second=3)
    tell(*range(20))
    for second, arrived in ((0, 6), (0.1, 6), (1.05, 9), (3.1, 15), (3.2, 15), (10, 20)):
        with shifted(timedelta(seconds=second)):
            deliver_all(app)
            assert len(receiver.requests) == arrived


def test_a_worker_that_lost_its_lease_writes_nothing(session, app, receiver):
    subscribe_to(receiver.url)
    tell(1)
    with transaction():
        [late] = claim_deliveries(10, {})
    with shifted(timedelta(seconds=61)):
        deliver_all(app)
        with transaction():
            record([Outcome(late, Answer(500, None, 1))])
    assert [row.state for row in deliveries()] == ["delivered"]


def test_two_workers_never_take_the_same(committed, app, receiver):
    subscribe_to(receiver.url)
    tell(*range(30))
    taken, barrier = [], threading.Barrier(2)

    def claim():
        with app.app_context():
            barrier.wait()
            for _ in range(10):
                with transaction():
                    works = claim_deliveries(5, {})
                taken.extend(work.id for work in works)

    threads = [threading.Thread(target=claim) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(taken) == len(set(taken)) > 0


def test_a_million_tags_are_a_thousand_events(session, app, receiver):
    """A thousandth of it."""
    subscribe_to(receiver.url, "tag.given")
    with transaction():
        publish(*(TagsChanged(id_, (3,), (), "rule:9") for id_ in range(2500)))
    deliver_all(app)
    bodies = sorted(receiver.bodies(), key=lambda body: body["sequence"])
    assert [len(each["data"]["items"]) for each in bodies] == [1000, 1000, 500]
    assert [item["customer_id"] for each in bodies for item in each["data"]["items"]] == list(range(2500))
    assert len({each["sequence"] for each in bodies}) == 3


def test_nothing_is_written_that_nobody_wants(session, app, receiver):
    subscribe_to(receiver.url, "customer.*", "tag.taken")
    tell(1)
    assert session.scalar(text("SELECT count(*) FROM webhook_events")) == 0
    with transaction():
        publish(TagsChanged(1, (), (3,), "rule:1"))
    assert session.scalar(text("SELECT type FROM webhook_events")) == "tag.taken"


def test_what_is_rolled_back_is_not_told(session, app, receiver):
    subscribe_to(receiver.url)

    def fails():
        with transaction():
            publish(TagsChanged(1, (3,), (), "rule:1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    deliver_all(app)
    assert receiver.requests == []


def test_each_endpoint_gets_what_it_wants_under_one_id(session, app, make_receiver):
    everything, tags, orders = make_receiver(), make_receiver(), make_receiver()
    subscribe_to(everything.url, "*")
    subscribe_to(tags.url, "tag.given", "tag.*")
    subscribe_to(orders.url, "order.*")
    tell(1)
    with transaction():
        note([News("broadcast.finished", common={"broadcast_id": 5})])
    deliver_all(app)
    assert sorted(each["type"] for each in everything.bodies()) == ["broadcast.finished", "tag.given"]
    assert [each["type"] for each in tags.bodies()] == ["tag.given"]
    assert orders.requests == []
    assert tags.ids()[0] in everything.ids()


def test_old_events_are_forgotten_with_their_deliveries(session, app, receiver):
    subscribe_to(receiver.url)
    tell(1)
    deliver_all(app)
    with shifted(timedelta(days=29)):
        tell(2)
        forget_events()
        assert len(deliveries()) == 2
    with shifted(timedelta(days=31)):
        forget_events()
        assert [row.state for row in deliveries()] == ["pending"]
