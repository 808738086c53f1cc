"""Sends callbacks in the background: 5-second deadline, three attempts, non-200 is a failure (§2.5)."""

from __future__ import annotations

import heapq
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.delivery import DELIVERED, FAILED, Delivery, Sealer
from scrm.sandbox.callbacks.wire import Connection, Target

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

HTTP_OK = 200


class Sender:
    """A few threads, one keep-alive connection per thread and host, one queue ordered by due time."""

    def __init__(self, world: World) -> None:
        """Start nothing yet; threads appear with the first delivery."""
        self._world = world
        self._heap: list[tuple[float, int, Delivery]] = []
        self._wake = threading.Condition()
        self._order = count()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._stopped = False
        self._sealers: dict[str, Sealer] = {}
        self._targets: dict[str, Target] = {}

    def submit(self, delivery: Delivery, delay: float = 0.0) -> None:
        """Queue one attempt, `delay` real seconds from now."""
        with self._wake:
            heapq.heappush(self._heap, (time.monotonic() + delay, next(self._order), delivery))
            self._start_threads()
            self._wake.notify()

    def prepare(self, delivery: Delivery) -> bytes:
        """Encrypt and sign once; the same bytes are sent again on a retry."""
        if delivery.request is None:
            sealer = self._sealers.get(delivery.app.name)
            if sealer is None:
                sealer = self._sealers[delivery.app.name] = Sealer(delivery.app, self._world.config.corp_id)
            query, body = sealer.seal(delivery.plaintext, self._world.clock.transport())
            delivery.request = self.target(delivery.url).request("POST", query, body)
        return delivery.request

    def target(self, url: str) -> Target:
        """The split URL, remembered."""
        found = self._targets.get(url)
        if found is None:
            found = self._targets[url] = Target.of(url)
        return found

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is queued or under way; False after `timeout` real seconds."""
        deadline = time.monotonic() + timeout
        with self._wake:
            while self._heap or self._busy:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._wake.wait(left)
            return True

    def waiting(self) -> int:
        """How many deliveries are queued or under way."""
        with self._wake:
            return len(self._heap) + self._busy

    def clear(self) -> None:
        """Forget what is queued (reset of the world)."""
        with self._wake:
            self._heap.clear()
            self._wake.notify_all()

    def stop(self) -> None:
        """Let the threads end after their current attempt."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def attempt(self, delivery: Delivery, connections: dict[tuple[str, int], Connection]) -> bool:
        """Make one attempt now and record it; queue the next one when it failed and one is left."""
        started = time.monotonic()
        status, error = self._post(delivery, connections)
        self.record(delivery, status, error, time.monotonic() - started)
        return status == HTTP_OK

    def record(self, delivery: Delivery, status: int | None, error: str | None, seconds: float) -> None:
        """Note an attempt's outcome and decide whether another follows."""
        limits = self._world.limits
        delivery.attempts.append(
            {"at": self._world.clock.now(), "status": status, "error": error, "seconds": round(seconds, 6)}
        )
        if status == HTTP_OK:
            if delivery.delivered_at is None:
                delivery.delivered_at = self._world.clock.now()
            delivery.status = DELIVERED
            delivery.request = None
        elif len(delivery.attempts) < limits.callback_attempts:
            self.submit(delivery, limits.callback_retry_seconds)
        elif delivery.status != DELIVERED:
            delivery.status = FAILED
            delivery.request = None

    def _post(
        self, delivery: Delivery, connections: dict[tuple[str, int], Connection]
    ) -> tuple[int | None, str | None]:
        target = self.target(delivery.url)
        key = (target.host, target.port)
        connection = connections.get(key)
        if connection is None:
            connection = connections[key] = Connection(*key)
        try:
            status, _ = connection.send(self.prepare(delivery), self._world.limits.callback_timeout_seconds)
        except (OSError, ValueError) as error:
            connection.close()
            return None, f"{type(error).__name__}: {error}"
        return status, None

    def _start_threads(self) -> None:
        if len(self._threads) < min(self._world.limits.callback_threads, len(self._heap) + self._busy):
            thread = threading.Thread(target=self._run, name="callback-sender", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        connections: dict[tuple[str, int], Connection] = {}
        while (delivery := self._next()) is not None:
            try:
                self.attempt(delivery, connections)
            finally:
                with self._wake:
                    self._busy -= 1
                    if not self._heap and not self._busy:
                        self._wake.notify_all()

    def _next(self) -> Delivery | None:
        with self._wake:
            while not self._stopped:
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if left is not None and left <= 0:
                    self._busy += 1
                    return heapq.heappop(self._heap)[2]
                self._wake.wait(left)
            return None
