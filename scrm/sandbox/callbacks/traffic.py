"""A bounded stream of callbacks at a rate, prepared ahead or made on the way (design.md §7)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
OK = 200
PERCENTILES = (50, 95, 99, 100)


@dataclass(slots=True, eq=False)
class TrafficRun:
    """One stream. `rate` 0 = as fast as the other side answers."""

    id: int
    total: int
    rate: float
    connections: int
    state: str = "preparing"
    started: float = 0.0
    finished: float = 0.0
    prepare_seconds: float = 0.0
    ok: int = 0
    failed: int = 0
    behind: int = 0
    latencies: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    def as_json(self) -> Json:
        """Progress: first attempts only; failed ones are repeated by the ordinary sender."""
        with self.lock:
            ordered = sorted(self.latencies)
            sent = self.ok + self.failed
        end = self.finished or time.monotonic()
        seconds = max(end - self.started, 1e-9) if self.started else 0.0
        return {
            "id": self.id,
            "state": self.state,
            "total": self.total,
            "sent": sent,
            "ok": self.ok,
            "failed": self.failed,
            "seconds": round(seconds, 4),
            "prepare_seconds": round(self.prepare_seconds, 4),
            "per_second": round(sent / seconds, 1) if seconds else 0.0,
            "latency_ms": {f"p{share}": _percentile(ordered, share) for share in PERCENTILES},
        }

    def note(self, latencies: list[float], ok: int, failed: int) -> None:
        """Add one connection's outcomes."""
        with self.lock:
            self.latencies.extend(latencies)
            self.ok += ok
            self.failed += failed


def _percentile(ordered: list[float], share: int) -> float | None:
    if not ordered:
        return None
    index = min(len(ordered) - 1, len(ordered) * share // 100)
    return round(ordered[index] * 1_000, 3)


def start(sandbox: Sandbox, run: TrafficRun, act: Callable[[], list[Delivery]], prepare: bool) -> None:
    """Begin in the background; `act` makes one event under the world's lock and returns its deliveries."""
    body = _prepared if prepare else _live
    threading.Thread(target=body, args=(sandbox, run, act), name=f"traffic-{run.id}", daemon=True).start()


def _prepared(sandbox: Sandbox, run: TrafficRun, act: Callable[[], list[Delivery]]) -> None:
    began = time.monotonic()
    deliveries = list(islice(_captured(sandbox, run, act), run.total))
    for delivery in deliveries:
        sandbox.sender.prepare(delivery)
    run.total = len(deliveries)
    run.prepare_seconds = time.monotonic() - began
    run.state, run.started = "running", time.monotonic()
    threads = [
        threading.Thread(target=_send_share, args=(sandbox, run, deliveries, index), daemon=True)
        for index in range(run.connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finished, run.state = time.monotonic(), "done"


def _captured(sandbox: Sandbox, run: TrafficRun, act: Callable[[], list[Delivery]]) -> Iterator[Delivery]:
    """Events made but not sent. Nothing to call back at all would never end, so empty acts are counted."""
    empty = 0
    while not run.stopped and empty < run.total:
        with sandbox.world.lock:
            sandbox.outbox.captured = []
            try:
                act()
                made = sandbox.outbox.captured
            finally:
                sandbox.outbox.captured = None
        empty = 0 if made else empty + 1
        yield from made


def _send_share(sandbox: Sandbox, run: TrafficRun, deliveries: list[Delivery], offset: int) -> None:
    """Every n-th delivery over one connection, each at its planned moment."""
    connection: Connection | None = None
    latencies: list[float] = []
    ok = failed = 0
    timeout = sandbox.world.limits.callback_timeout_seconds
    for index in range(offset, len(deliveries), run.connections):
        if run.stopped:
            break
        if run.rate:
            wait = run.started + index / run.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        delivery = deliveries[index]
        if connection is None:
            target = sandbox.sender.target(delivery.url)
            connection = Connection(target.host, target.port)
        status, error, seconds = _attempt(connection, sandbox.sender.prepare(delivery), timeout)
        latencies.append(seconds)
        ok, failed = (ok + 1, failed) if status == OK else (ok, failed + 1)
        sandbox.sender.record(delivery, status, error, seconds)
        if len(latencies) >= 200:
            run.note(latencies, ok, failed)
            latencies, ok, failed = [], 0, 0
    run.note(latencies, ok, failed)
    if connection is not None:
        connection.close()


def _attempt(connection: Connection, request: bytes, timeout: float) -> tuple[int | None, str | None, float]:
    began = time.monotonic()
    try:
        status, _ = connection.send(request, timeout)
    except (OSError, ValueError) as error:
        connection.close()
        return None, f"{type(error).__name__}: {error}", time.monotonic() - began
    return status, None, time.monotonic() - began


def _live(sandbox: Sandbox, run: TrafficRun, act: Callable[[], list[Delivery]]) -> None:
    """Events happen at the rate and go out through the ordinary sender; outcomes are in /control/callbacks."""
    run.state, run.started = "running", time.monotonic()
    made: list[Delivery] = []
    acts = 0
    while len(made) < run.total and acts < 2 * run.total and not run.stopped:
        if run.rate:
            wait = run.started + acts / run.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        with sandbox.world.lock:
            made.extend(act())
        acts += 1
    run.total = len(made)
    sandbox.sender.wait_idle(run.total * 0.1 + 30)
    firsts = [item.attempts[0] for item in made if item.attempts]
    ok = sum(1 for item in firsts if item["status"] == OK)
    run.note([item["seconds"] for item in firsts], ok, len(firsts) - ok)
    run.finished, run.state = time.monotonic(), "done"
