"""Whose turn it is: one token bucket per app and API for all processes, calls at once, priorities, cool-downs.

A call that would wait too long is put off (:class:`~scrm.wecom.errors.Deferred`) instead of failing. Redis decides in
one Lua script; while it is away each process keeps to its share of the limits.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from config.queues import Queue
from config.settings import Governor as GovernorSettings
from scrm.kernel import metrics
from scrm.wecom.errors import Busy, Deferred, RateLimited, WecomError
from scrm.wecom.limits import (
    CAP_GROWS_MS,
    LONGEST_COOLDOWN_SECONDS,
    RESERVE,
    SLOT_SECONDS,
    Figures,
    Left,
    Turn,
)
from scrm.wecom.local_bucket import LocalBucket
from scrm.wecom.models import Priority
from scrm.wecom.store import SharedStore, StoreAway

LOCAL_SHARE = 1 / len(Queue)  # one worker process per queue: a process alone keeps to its part
BUSY_SECONDS = 1.0  # 45033 passes as soon as a call ends
JITTER = 0.2  # waits and cool-downs differ by up to this share, so that nobody wakes together
REDIS_CLOCK = 0


def _redis_clock() -> int:
    return REDIS_CLOCK


class Governor:
    """Turns at the APIs of one app. Thread-safe; one per process and app, deciding together through Redis.

    :param name: digest of corp and secret: WeCom counts per secret
    :param now_ms: the model's time for tests; by default Redis's own clock
    """

    def __init__(
        self,
        store: SharedStore,
        name: str,
        settings: GovernorSettings,
        now_ms: Callable[[], int] = _redis_clock,
    ) -> None:
        self._store = store
        self._name = name
        self._settings = settings
        self._now_ms = now_ms
        self._acquire, self._cool, self._peek = (store.script(n) for n in ("acquire", "cool_down", "peek"))
        self._figures = lru_cache(maxsize=None)(lambda api: Figures.of(settings, api))
        own = lru_cache(maxsize=None)(lambda api: Figures.of(settings, api, LOCAL_SHARE))
        self._local = LocalBucket(own, lambda: now_ms() or time.monotonic() * 1000)

    @contextmanager
    def turn(self, api: str, priority: Priority, patience: float) -> Iterator[None]:
        """Wait for a turn, hold it for the length of the call, and learn from 45009 and 45033.

        :param patience: longest wait in seconds
        :raises Deferred: when the turn would come later than that; ``retry_after`` says when
        """
        if not self._settings.enabled:
            yield
            return
        release = self._wait(api, priority, patience)
        try:
            yield
        except (RateLimited, Busy) as error:
            error.retry_after = self.cool_down(api, error)
            raise
        finally:
            release()

    def try_turn(self, api: str, priority: Priority) -> tuple[Turn, Callable[[], None]]:
        """Ask once. When granted, call the second value after the call of WeCom."""
        call = uuid.uuid4().hex
        f = self._figures(api)
        args = [self._now_ms(), call, RESERVE[priority], f.minute_burst, f.minute_rate, f.hour_burst]
        args += [f.hour_rate, f.calls, int(SLOT_SECONDS * 1000), CAP_GROWS_MS]
        try:
            granted, wait, why = self._acquire(self._keys(api), args)
        except StoreAway:
            return self._local.acquire(api, RESERVE[priority]), lambda: self._local.release(api)
        return Turn(bool(granted), float(wait), why.decode()), lambda: self._release(api, call)

    def cool_down(self, api: str, error: WecomError) -> float:
        """Close ``api`` after 45009 or 45033; returns the seconds until it opens."""
        rate = isinstance(error, RateLimited)
        ms = (self._settings.cooldown_seconds if rate else BUSY_SECONDS) * 1000
        jitter = random.random() * JITTER * ms
        args = [
            self._now_ms(),
            "rate" if rate else "calls",
            int(ms),
            int(jitter),
            int(LONGEST_COOLDOWN_SECONDS * 1000),
        ]
        try:
            return float(self._cool(self._keys(api), args)) / 1000
        except StoreAway:
            return self._local.cool_down(api, ms, jitter, rate=rate) / 1000

    def left(self, apis: Sequence[str]) -> list[Left]:
        """What is left of each API, in order: one question to Redis for all of them."""
        return [self._left(api) for api in apis]

    def closed(self, apis: Sequence[str]) -> dict[str, float]:
        """Those of ``apis`` that WeCom has closed, with the seconds until they open."""
        try:
            cool = self._store.ask(lambda redis: self._cooling(redis, apis))
        except StoreAway:
            return {
                left.api: left.closed_seconds for left in map(self._local.left, apis) if left.closed_seconds
            }
        return {api: ms / 1000 for api, ms in zip(apis, cool, strict=True) if ms > 0}

    def _cooling(self, redis: Any, apis: Sequence[str]) -> list[float]:
        pipe = redis.pipeline(transaction=False)
        pipe.time()
        for api in apis:
            pipe.hget(self._keys(api)[0], "cool")
        (seconds, micros), *cool = pipe.execute()
        now = self._now_ms() or seconds * 1000 + micros // 1000
        return [float(value or 0) - now for value in cool]

    def _left(self, api: str) -> Left:
        f = self._figures(api)
        args = [self._now_ms(), f.minute_burst, f.minute_rate, f.hour_burst, f.hour_rate]
        try:
            minute, hour, running, closed = self._peek(self._keys(api), args)
        except StoreAway:
            return self._local.left(api)
        return Left(api, minute, hour, running, closed / 1000)

    def _wait(self, api: str, priority: Priority, patience: float) -> Callable[[], None]:
        started = time.monotonic()
        while True:
            turn, release = self.try_turn(api, priority)
            waited = time.monotonic() - started
            if turn.granted:
                metrics.GOVERNOR_WAIT_SECONDS.labels(api).observe(waited)
                return release
            pause = turn.wait_ms / 1000 * (1 + random.random() * JITTER)
            if waited + pause > patience:
                metrics.GOVERNOR_DEFERRED.labels(api).inc()
                raise Deferred(api, None, f"put off by the governor: {turn.why}", retry_after=pause)
            time.sleep(pause)

    def _release(self, api: str, call: str) -> None:
        with suppress(StoreAway):  # the slot ends by itself
            self._store.ask(lambda redis: redis.zrem(self._keys(api)[1], call))

    def _keys(self, api: str) -> list[str]:
        base = f"scrm:turn:{{{self._name}:{api}}}"
        return [f"{base}:state", f"{base}:calls"]
