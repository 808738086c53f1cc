"""Whose turn it is: WeCom's limits for all processes and apps of the corp, priorities, blocks, and silent APIs.

A call that would wait too long is put off (:class:`~scrm.wecom.errors.Deferred`) instead of failing. Redis decides in
one Lua script; while it is away each process keeps to its share of the limits.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Event
from typing import Any

import structlog

from config.queues import Queue
from config.settings import Governor as GovernorSettings
from scrm.kernel import metrics
from scrm.kernel.clock import shift
from scrm.wecom.circuit import Change, CircuitRules, Ended, Heard, heard_in
from scrm.wecom.errors import Busy, Deferred, RateLimited, WecomError
from scrm.wecom.limits import (
    CAP_GROWS_MS,
    LONGEST_COOLDOWN_SECONDS,
    RESERVE,
    SLOT_SECONDS,
    Bucket,
    Door,
    Left,
    Rules,
    Turn,
    WindowLeft,
)
from scrm.wecom.limits_table import Sent
from scrm.wecom.local_bucket import LocalBucket
from scrm.wecom.models import Priority
from scrm.wecom.store import SharedStore, StoreAway

log = structlog.get_logger(__name__)

LOCAL_SHARE = 1 / len(Queue)  # one worker process per queue: a process alone keeps to its part
BUSY_SECONDS = 1.0  # 45033 passes as soon as a call ends
JITTER = 0.2  # waits and cool-downs differ by up to this share, so that nobody wakes together
NOTHING_SENT: Mapping[str, Any] = {}

Release = Callable[..., Ended]


@dataclass(frozen=True)
class Caller:
    """Who calls: WeCom counts most limits for the corp, some for an app.

    :param corp: names the corp in Redis
    :param digest: names the app in Redis
    """

    corp: str
    name: str
    digest: str


class Governor:
    """Turns at the APIs for one app. Thread-safe; one per process and app, deciding together through Redis.

    :param now_ms: the model's time for tests; by default Redis's own clock
    """

    def __init__(
        self,
        store: SharedStore,
        caller: Caller,
        settings: GovernorSettings,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._caller = caller
        self._settings = settings
        self._now_ms = now_ms
        self._acquire, self._released, self._cool, self._peek = (
            store.script("prelude", name) for name in ("acquire", "release", "cool_down", "peek")
        )
        self.circuit = CircuitRules.of(settings)
        self.rules = lru_cache(maxsize=None)(lambda api: Rules(settings, api))
        own = lru_cache(maxsize=None)(lambda api: Rules(settings, api, LOCAL_SHARE))
        self.local = LocalBucket(own, self.circuit, now_ms or _monotonic_ms)

    @contextmanager
    def turn(
        self,
        api: str,
        priority: Priority,
        patience: float,
        sent: Sent = NOTHING_SENT,
        stop: Event | None = None,
    ) -> Iterator[None]:
        """Wait for a turn, hold it for the length of the call, and learn from its answer.

        :param patience: longest wait in seconds
        :param sent: body or parameters, where limits depend on them
        :param stop: set, nobody waits any longer; turns that are there are given
        :raises Deferred: when the turn would come later than that, or ``stop`` was set; ``retry_after`` says when
        """
        if not self._settings.enabled:
            yield
            return
        release = self._wait(api, priority, patience, sent, stop)
        try:
            yield
        except WecomError as error:
            self._learn(api, error, release)
            raise
        except BaseException:
            release(Heard.NOTHING)
            raise
        release(Heard.ANSWER)

    def try_turn(self, api: str, priority: Priority, sent: Sent = NOTHING_SENT) -> tuple[Turn, Release]:
        """Ask once. When granted, call the second value after the call of WeCom, with what was heard."""
        call = uuid.uuid4().hex
        rules = self.rules(api)
        buckets = rules.buckets(self._caller.digest, sent)
        args = [
            *self.clock,
            api,
            call,
            RESERVE[priority],
            rules.calls,
            int(SLOT_SECONDS * 1000),
            CAP_GROWS_MS,
        ]
        args.append(self.circuit.patience(priority) * 1000)
        for bucket in buckets:
            args += [bucket.cost, int(bucket.reserved), *figures(bucket)]
        try:
            granted, wait, why = self._acquire(self._keys(api, buckets, "apis"), args)
        except StoreAway:
            turn = self.local.acquire(api, priority, buckets)
            return turn, lambda heard=Heard.ANSWER: self._told(api, self.local.release(api, turn, heard))
        turn = Turn(bool(granted), float(wait), why.decode(), why == b"probe")
        return turn, lambda heard=Heard.ANSWER: self._end(api, call, turn, heard)

    def cool_down(self, api: str, error: WecomError) -> float:
        """Close ``api`` after 45009 or 45033; returns the seconds until it opens."""
        rate = isinstance(error, RateLimited)
        seconds = self._settings.cooldown_seconds if rate else BUSY_SECONDS
        jitter = random.random() * JITTER
        rules = self.rules(api)
        buckets = rules.shared_buckets(self._caller.digest) if rate else ()
        args = [*self.clock, "rate" if rate else "calls", int(seconds * 1000), jitter]
        args += [int(LONGEST_COOLDOWN_SECONDS * 1000), int(rate and rules.has_days)]
        for bucket in buckets:
            args += figures(bucket)
        try:
            return float(self._cool(self._keys(api, buckets), args)) / 1000
        except StoreAway:
            return self.local.cool_down(api, buckets, seconds * 1000, jitter, rate=rate) / 1000

    def doors(self, apis: Sequence[str]) -> dict[str, Door]:
        """Whether calls of ``apis`` are tried at all: one question to Redis for all of them."""
        try:
            states = self._store.ask(lambda redis: self._states(redis, apis))
        except StoreAway:
            return {api: self.local.door(api) for api in apis}
        return dict(zip(apis, states, strict=True))

    def closed(self, apis: Sequence[str], priority: Priority = Priority.WELCOME) -> dict[str, float]:
        """Those of ``apis`` at which nothing is tried now, with the seconds until something is."""
        patience = self.circuit.patience(priority)
        found = {api: door.shut_seconds(patience) for api, door in self.doors(apis).items()}
        return {api: seconds for api, seconds in found.items() if seconds > 0}

    def left(self, apis: Sequence[str]) -> list[Left]:
        """What is left of each API, in order."""
        return [self._left(api) for api in apis]

    def called(self) -> set[str]:
        """Every API that was called since Redis was emptied."""
        try:
            return self._store.ask(self._called)
        except StoreAway:
            return set()

    def open_circuits(self) -> dict[tuple[str, str], tuple[str, float]]:
        """(API, digest of the app it is counted for or empty) of every open circuit: the app, and since when (Unix time).

        :raises StoreAway: when Redis cannot be asked
        """
        return self._store.ask(self._circuits)

    @property
    def clock(self) -> list[Any]:
        """The time as the scripts want it: a model's, or Redis's own moved as far as this process's clock."""
        return [self._now_ms(), 0] if self._now_ms else ["", int(shift().total_seconds() * 1000)]

    def base(self, api: str) -> str:
        """What all keys of one API begin with; all of a corp's lie in one slot of a cluster."""
        own = f":{self._caller.digest}" if self.rules(api).own else ""
        return f"{self.corp_key('turn')}:{api}{own}"

    def corp_key(self, name: str) -> str:
        """A key of the whole corp."""
        return f"scrm:{name}:{{{self._caller.corp}}}"

    def _called(self, redis: Any) -> set[str]:
        members: set[bytes] = redis.smembers(self.corp_key("apis"))
        return {api.decode() for api in members}

    def _circuits(self, redis: Any) -> dict[tuple[str, str], tuple[str, float]]:
        found = redis.hgetall(self.corp_key("circuits"))
        return {_circuit_name(name): _circuit_value(value) for name, value in found.items()}

    def _states(self, redis: Any, apis: Sequence[str]) -> list[Door]:
        pipe = redis.pipeline(transaction=False)
        pipe.time()
        pipe.hget(self.corp_key("clock"), "ahead")
        for api in apis:
            pipe.hmget(f"{self.base(api)}:state", "cool", "open", "pause", "probe")
        (seconds, micros), ahead, *states = pipe.execute()
        given, moved = self.clock
        now = (given or seconds * 1000 + micros // 1000) + moved + float(ahead or 0)
        return [_door(now, *(float(value) if value else None for value in state)) for state in states]

    def _left(self, api: str) -> Left:
        rules = self.rules(api)
        buckets = rules.shared_buckets(self._caller.digest)
        args = [*self.clock, *(figure for bucket in buckets for figure in figures(bucket))]
        try:
            running, cool, pause, since, trying, *left = self._peek(self._keys(api, buckets), args)
        except StoreAway:
            running, left = self.local.left(api, buckets)
            door = self.local.door(api)
        else:
            opened = None if since < 0 else since / 1000
            door = Door(cool / 1000, opened, pause / 1000, bool(trying))
        app = self._caller.name if rules.own else None
        windows = tuple(
            WindowLeft.of(window, float(value))
            for window, value in zip((w for b in buckets for w in b.windows), left, strict=True)
        )
        return Left(api, app, windows, running, rules.calls, door)

    def _wait(self, api: str, priority: Priority, patience: float, sent: Sent, stop: Event | None) -> Release:
        started = time.monotonic()
        while True:
            turn, release = self.try_turn(api, priority, sent)
            waited = time.monotonic() - started
            if turn.granted:
                metrics.GOVERNOR_WAIT_SECONDS.labels(api).observe(waited)
                return release
            pause = turn.wait_ms / 1000 * (1 + random.random() * JITTER)
            if waited + pause > patience:
                metrics.GOVERNOR_DEFERRED.labels(api).inc()
                raise Deferred(api, None, f"put off by the governor: {turn.why}", retry_after=pause)
            if stop is None:
                time.sleep(pause)
            elif stop.wait(pause):
                raise Deferred(api, None, "put off: this process was asked to end", retry_after=pause)

    def _learn(self, api: str, error: WecomError, release: Release) -> None:
        heard = heard_in(error)
        if isinstance(error, RateLimited | Busy) and heard is Heard.ANSWER:
            error.retry_after = self.cool_down(api, error)
        ended = release(heard)
        error.outage = ended.outage
        if ended.seconds:
            error.retry_after = ended.seconds * (1 + random.random() * JITTER)

    def _end(self, api: str, call: str, turn: Turn, heard: Heard) -> Ended:
        circuit, own = self.circuit, self.rules(api).own
        name = f"{api} {self._caller.digest if own else ''}"
        args = [*self.clock, call, heard, int(turn.probe), name, self._caller.name, circuit.failures]
        args += [int(seconds * 1000) for seconds in (circuit.first, circuit.longest)]
        keys = [*self._keys(api, ()), self.corp_key("circuits"), self.corp_key("answered")]
        try:
            change, ms, outage = self._released(keys, args)
        except StoreAway:  # the slot ends by itself
            return Ended()
        return self._told(api, Ended(Change(change.decode()), float(ms) / 1000, bool(outage)))

    def _told(self, api: str, ended: Ended) -> Ended:
        """Say once, where it happened, that a circuit changed."""
        app = self._caller.name
        if ended.change is Change.OPENED:
            metrics.CIRCUIT_OPENED.labels(api).inc()
            log.warning(
                "WeCom does not answer; the API is left alone", api=api, app=app, seconds=ended.seconds
            )
        if ended.change is Change.CLOSED:
            log.warning("WeCom answers again", api=api, app=app)
        return ended

    def _keys(self, api: str, buckets: Sequence[Bucket], *corp: str) -> list[str]:
        base = self.base(api)
        shared = [self.corp_key(name) for name in corp]
        return [f"{base}:state", f"{base}:calls", *shared, *(f"{base}:{bucket.name}" for bucket in buckets)]


def figures(bucket: Bucket) -> list[Any]:
    """A bucket's windows as the scripts take them."""
    found: list[Any] = [len(bucket.windows)]
    for window in bucket.windows:
        found += [window.row.window, window.burst, window.rate]
    return found


def _door(
    now: float, cool: float | None, opened: float | None, pause: float | None, probe: float | None
) -> Door:
    return Door(
        max(0.0, (cool or 0) - now) / 1000,
        None if opened is None else (now - opened) / 1000,
        (pause or 0) / 1000,
        now < (probe or 0),
    )


def _circuit_name(raw: bytes) -> tuple[str, str]:
    api, _, scope = raw.decode().partition(" ")
    return api, scope


def _circuit_value(raw: bytes) -> tuple[str, float]:
    app, _, since = raw.decode().rpartition(" ")
    return app, float(since) / 1000


def _monotonic_ms() -> float:
    return time.monotonic() * 1000 + shift().total_seconds() * 1000
