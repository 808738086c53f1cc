"""kill -9 of the worker between sending and writing it down: nothing is lost, and what comes twice has the same name."""

import signal
from collections import Counter

import pytest

from scrm.kernel.sealing import seal
from tests.scrm.webhooks.conftest import started_receiver
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]
WORKER, EVENTS = "worker:background", 20
KEY, SECRET = "a key of this test", "whsec_" + "A" * 43 + "="
ENVIRONMENT = {"SCRM_WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]', "SCRM_WEBHOOKS__SECRET_KEY": KEY}


def subscribe(stack, url):
    """An endpoint for everything."""
    made = "INSERT INTO webhook_endpoints (url, event_types, made_by) VALUES (%s, '{*}', 'test') RETURNING id"
    [[id_]] = stack.sql(made, url)
    sealed = seal(SECRET.encode(), f"webhook_endpoint:{id_}", KEY)
    stack.sql("INSERT INTO webhook_secrets (endpoint_id, sealed) VALUES (%s, %s)", id_, sealed)
    return id_


def happen(stack, endpoint_id):
    """Events wait for the endpoint; returns their names."""
    stack.sql(
        "WITH made AS (INSERT INTO webhook_events (type, data, noted_at) SELECT 'broadcast.frozen',"
        " jsonb_build_object('broadcast_id', n), now() FROM generate_series(1, %s) n RETURNING id)"
        " INSERT INTO webhook_deliveries (event_id, endpoint_id, next_at) SELECT id, %s, now() FROM made",
        EVENTS,
        endpoint_id,
    )
    return {
        f"evt_{key.hex}"
        for (key,) in stack.sql("SELECT key FROM webhook_events ORDER BY id DESC LIMIT %s", EVENTS)
    }


def states(stack):
    return dict(stack.sql("SELECT state, count(*) FROM webhook_deliveries GROUP BY 1"))


def test_a_worker_killed_after_sending_loses_nothing_and_repeats_under_the_same_name():
    receiver = started_receiver()
    try:
        with Stack(["clock"], environment=ENVIRONMENT) as stack:
            names = happen(stack, subscribe(stack, receiver.url))
            stack.start(WORKER, SCRM_CRASH_AT="webhooks_answered")
            assert stack.wait_end(WORKER, 30) == -signal.SIGKILL
            sent_before = set(receiver.ids())
            assert sent_before
            assert states(stack) == {"pending": EVENTS}
            stack.sql("UPDATE webhook_deliveries SET lease_until = now() WHERE lease_until > now()")
            stack.start(WORKER)
            wait_until(lambda: states(stack) == {"delivered": EVENTS}, 60, lambda: str(states(stack)))
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
    times = Counter(receiver.ids())
    assert times.keys() == names
    assert sent_before <= {name for name, count in times.items() if count > 1}
    assert max(times.values()) == 2
