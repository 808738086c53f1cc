"""`webhooks`: deliveries a second of one worker against bare HTTP posts of the same body, interleaved.

Ours: a real worker of the queue ``background`` with durable PostgreSQL takes deliveries to four endpoints, looks each
address up, checks it, signs, posts over a connection of its own and writes down what came of it; from the first attempt
to the last answer. The baseline posts as many of the same bytes to the same receiver from 32 threads, a connection each
too, and keeps nothing. `webhooks.hanging` is the same rate while a fifth endpoint never answers.
"""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scrm.kernel.sealing import seal
from scrm.sandbox.ports import free_port
from tests.stack import Stack, wait_until

ROOT = Path(__file__).parents[2]
KEY, SECRET = "key of the bench", "whsec_" + "A" * 43 + "="
EVENTS, QUICK_EVENTS = 1000, 50  # to each endpoint, a round
ROUNDS, QUICK_ROUNDS = 3, 1
ENDPOINTS, THREADS = 4, 32
RATIO, BESIDE = 0.05, 0.4
DATA = {"source": "rule:7", "items": [{"customer_id": n, "tag_ids": [3]} for n in range(10)]}
BODY = json.dumps(
    {"type": "tag.given", "timestamp": "2026-01-01T00:00:00Z", "sequence": 1, "data": DATA}
).encode()


def receiver(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI program that reads what comes and answers 204."""
    environ["wsgi.input"].read()
    start_response("204 No Content", [])
    return [b""]


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns the rate beside the bare one, and the rate while a receiver hangs."""
    quick = bool(options.get("quick"))
    rounds, events = (QUICK_ROUNDS, QUICK_EVENTS) if quick else (ROUNDS, EVENTS)
    environment = {"SCRM_WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]', "SCRM_WEBHOOKS__SECRET_KEY": KEY}
    with (
        receiving() as port,
        socket.create_server(("127.0.0.1", 0), backlog=1000) as silent,
        Stack(("clock", "worker:background"), environment=environment, durable=True) as stack,
    ):
        url = f"http://127.0.0.1:{port}/"
        endpoints = [subscribe(stack, url) for _ in range(ENDPOINTS)]
        deliveries(stack, endpoints, 50)  # warm
        pairs = [
            (deliveries(stack, endpoints, events), bare(port, events * ENDPOINTS)) for _ in range(rounds)
        ]
        hanging = subscribe(stack, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        beside = [deliveries(stack, endpoints, events, hanging) for _ in range(rounds)]
    ours = statistics.median(rate for rate, _ in pairs)
    ratio = statistics.median(rate / plain for rate, plain in pairs)
    baseline = statistics.median(plain for _, plain in pairs)
    return [
        _line("webhooks", ours, baseline, ratio, RATIO, quick=quick),
        _line(
            "webhooks.hanging",
            statistics.median(beside),
            ours,
            statistics.median(beside) / ours,
            BESIDE,
            quick=quick,
        ),
    ]


def _line(
    name: str, value: float, baseline: float, ratio: float, target: float, *, quick: bool
) -> dict[str, Any]:
    return {
        "name": name, "value": round(value), "unit": "deliveries/s", "baseline": round(baseline),
        "ratio": round(ratio, 3), "target": target, "pass": ratio >= target or quick,
    }  # fmt: skip


@contextmanager
def receiving() -> Iterator[int]:
    """The receiver in a process of its own; yields its port."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--blocking-threads", "8", "tests.bench.webhooks:receiver",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
    try:
        wait_until(lambda: _listens(port), 20)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def subscribe(stack: Stack, url: str) -> int:
    """An endpoint for everything."""
    made = (
        "INSERT INTO webhook_endpoints (url, event_types, made_by) VALUES (%s, '{*}', 'bench') RETURNING id"
    )
    [[id_]] = stack.sql(made, url)
    sealed = seal(SECRET.encode(), f"webhook_endpoint:{id_}", KEY)
    stack.sql("INSERT INTO webhook_secrets (endpoint_id, sealed) VALUES (%s, %s)", id_, sealed)
    return int(id_)


def deliveries(stack: Stack, endpoints: list[int], events: int, hanging: int | None = None) -> float:
    """Deliveries a second to these endpoints, while some also wait for one that hangs."""
    stack.sql("DELETE FROM webhook_events")
    stack.sql("UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, resume_at = NULL")
    stack.sql("INSERT INTO webhook_events (type, data, noted_at) SELECT 'tag.given', %s, now() FROM generate_series(1, %s)",
              json.dumps(DATA), events)  # fmt: skip
    everybody = [*endpoints, hanging] if hanging else endpoints
    stack.sql(
        "INSERT INTO webhook_deliveries (event_id, endpoint_id, next_at) SELECT v.id, e, now()"
        " FROM webhook_events v, unnest(%s::bigint[]) e ORDER BY v.id, e",
        everybody,
    )
    ours = (
        "SELECT count(*) FILTER (WHERE state = 'pending') FROM webhook_deliveries WHERE endpoint_id = ANY(%s)"
    )
    wait_until(lambda: stack.sql(ours, endpoints)[0][0] == 0, 300)
    took = "SELECT extract(epoch FROM max(finished_at) - min(tried_at)), count(*) FILTER (WHERE state = 'delivered')"
    [[seconds, count]] = stack.sql(f"{took} FROM webhook_deliveries WHERE endpoint_id = ANY(%s)", endpoints)
    if count != events * len(endpoints):
        raise SystemExit(f"bench webhooks: {count} of {events * len(endpoints)} arrived")
    return count / float(seconds)


def bare(port: int, count: int) -> float:
    """Posts a second of the same body, a connection each, nothing checked and nothing kept."""

    def post(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/", body=BODY, headers={"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        return status

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        statuses = set(threads.map(post, range(count)))
    if statuses != {204}:
        raise SystemExit(f"bench webhooks: the receiver answered {statuses}")
    return count / (time.monotonic() - started)
