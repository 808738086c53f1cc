"""The governor of one process for the time Redis is away: the same rules on a share of the figures."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from scrm.wecom.circuit import Change, CircuitRules, Ended, Heard
from scrm.wecom.limits import (
    LONGEST_COOLDOWN_SECONDS,
    RESERVE,
    SLOT_SECONDS,
    Bucket,
    Door,
    Rules,
    Turn,
    Window,
)
from scrm.wecom.limits_table import DAY, MINUTE
from scrm.wecom.models import Priority

ASK_AGAIN_MS = 20.0
TRYING_AGAIN_MS = 1000.0


@dataclass
class _Level:
    """What is left of one window."""

    left: float
    at: float


@dataclass
class _State:
    levels: dict[tuple[str, int], _Level] = field(default_factory=dict)
    running: int = 0
    cool: float = 0.0
    long: float = 0.0
    failures: int = 0
    silent_since: float = 0.0
    opened: float | None = None
    pause: float = 0.0
    probe: float = 0.0


class LocalBucket:
    """Windows, calls at once and circuits by API, in memory. Thread-safe.

    :param rules: an API's rules for this process's share
    :param now_ms: the clock, in milliseconds
    """

    def __init__(
        self, rules: Callable[[str], Rules], circuit: CircuitRules, now_ms: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._circuit = circuit
        self._now_ms = now_ms
        self._states: defaultdict[str, _State] = defaultdict(_State)
        self._lock = threading.Lock()
        self._answered_at = 0.0

    def acquire(self, api: str, priority: Priority, buckets: Sequence[Bucket]) -> Turn:
        """Take a turn, or learn how long to wait. Only what the call takes is read of ``buckets``, not their figures."""
        with self._lock:
            state, now, reserve = self._states[api], self._now_ms(), RESERVE[priority]
            shut = self._shut(state, now, priority)
            if shut:
                return shut
            wanted = list(self._wanted(api, state, buckets, now))
            wait = max((_wait(*each, reserve) for each in wanted), default=0.0)
            if wait > 0:
                return Turn(False, wait, "rate")
            if state.running >= max(1, int(self._rules(api).calls * (1 - reserve))):
                return Turn(False, ASK_AGAIN_MS, "calls")
            for level, _, bucket in wanted:
                level.left -= bucket.cost
            state.running += 1
            probe = state.opened is not None
            if probe:
                state.probe = now + SLOT_SECONDS * 1000
            return Turn(True, probe=probe)

    def release(self, api: str, turn: Turn, heard: Heard) -> Ended:
        """The call has ended."""
        with self._lock:
            state, now = self._states[api], self._now_ms()
            state.running -= 1
            if turn.probe:
                state.probe = 0.0
            if heard is Heard.NOTHING or not self._circuit.failures:
                return Ended()
            if heard is Heard.SILENCE:
                return self._silence(state, now, turn)
            closed = state.opened is not None
            state.opened, state.failures, self._answered_at = None, 0, now
            return Ended(Change.CLOSED) if closed else Ended()

    def cool_down(
        self, api: str, buckets: Sequence[Bucket], ms: float, jitter: float, *, rate: bool
    ) -> float:
        """Close ``api``, until which ``buckets`` stay empty; returns the milliseconds until it opens."""
        with self._lock:
            state, now = self._states[api], self._now_ms()
            if now < state.cool:
                return state.cool - now
            if rate and now - state.cool < 2 * state.long:
                ms = 2 * state.long
            longest = DAY if self._rules(api).has_days else LONGEST_COOLDOWN_SECONDS
            ms = min(ms, longest * 1000)
            state.cool = now + ms * (1 + jitter)
            if rate:
                state.long = ms
            for level, window, _ in self._wanted(api, state, buckets, now):
                level.left = 0.0 if window.row.window == MINUTE else level.left
                level.at = state.cool
            return state.cool - now

    def door(self, api: str) -> Door:
        """Whether calls of ``api`` are tried at all."""
        with self._lock:
            state, now = self._states[api], self._now_ms()
            since = None if state.opened is None else (now - state.opened) / 1000
            return Door(max(0.0, state.cool - now) / 1000, since, state.pause, now < state.probe)

    def left(self, api: str, buckets: Sequence[Bucket]) -> tuple[int, list[float]]:
        """Calls under way, and what is left of each window of ``buckets``."""
        with self._lock:
            state = self._states[api]
            wanted = self._wanted(api, state, buckets, self._now_ms())
            return state.running, [level.left for level, _, _ in wanted]

    def _shut(self, state: _State, now: float, priority: Priority) -> Turn | None:
        if now < state.cool:
            return Turn(False, state.cool - now, "cooldown")
        if state.opened is None:
            return None
        again = state.opened + min(state.pause, self._circuit.patience(priority)) * 1000
        if now < again:
            return Turn(False, again - now, "circuit")
        return Turn(False, TRYING_AGAIN_MS, "circuit") if now < state.probe else None

    def _silence(self, state: _State, now: float, turn: Turn) -> Ended:
        if state.opened is not None:
            if turn.probe:
                state.opened, state.pause = now, min(self._circuit.longest, 2 * state.pause)
            left = max(0.0, state.opened + state.pause * 1000 - now) / 1000
            return Ended(Change.STILL, left, outage=True)
        if not state.failures:
            state.silent_since = now
        state.failures += 1
        if state.failures < self._circuit.failures:
            return Ended(outage=state.failures > 1 and self._answered_at < state.silent_since)
        state.opened, state.pause = now, self._circuit.first
        return Ended(Change.OPENED, state.pause, outage=True)

    def _wanted(
        self, api: str, state: _State, buckets: Sequence[Bucket], now: float
    ) -> Iterator[tuple[_Level, Window, Bucket]]:
        """Every window the call takes from, filled up to now, with this process's share of its figure."""
        own = {window.row: window for window in self._rules(api).windows}
        for bucket in buckets:
            for window in (own[window.row] for window in bucket.windows):
                key = (bucket.name, window.row.window)
                level = state.levels.setdefault(key, _Level(window.burst, now))
                rate = window.rate or window.figure / (window.row.window * 1000)
                level.left = min(window.burst, level.left + max(0.0, now - level.at) * rate)
                level.at = max(level.at, now)
                yield level, window, bucket


def _wait(level: _Level, window: Window, bucket: Bucket, reserve: float) -> float:
    kept = reserve * window.burst if bucket.reserved and not window.counted else 0.0
    need = min(window.burst, bucket.cost + kept)
    rate = window.rate or window.figure / (window.row.window * 1000)
    return (need - level.left) / rate if level.left < need else 0.0
