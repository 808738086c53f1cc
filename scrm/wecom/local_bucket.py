"""The governor of one process for the time Redis is away: the same rules on a share of the figures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from scrm.wecom.limits import LONGEST_COOLDOWN_SECONDS, Figures, Left, Turn

ASK_AGAIN_MS = 20.0


@dataclass
class _State:
    minute: float
    hour: float
    at: float
    cool: float = 0.0
    long: float = 0.0
    running: int = 0


class LocalBucket:
    """Token buckets and call counts by API, in memory. Thread-safe.

    :param figures: an API's figures for this process's share
    :param now_ms: the clock, in milliseconds
    """

    def __init__(self, figures: Callable[[str], Figures], now_ms: Callable[[], float]) -> None:
        self._figures = figures
        self._now_ms = now_ms
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()

    def acquire(self, api: str, reserve: float) -> Turn:
        """Take a turn, or learn how long to wait."""
        with self._lock:
            state, figures, now = self._current(api)
            if now < state.cool:
                return Turn(False, state.cool - now, "cooldown")
            wait = max(
                _wait(state.minute, figures.minute_burst, figures.minute_rate, reserve),
                _wait(state.hour, figures.hour_burst, figures.hour_rate, reserve),
            )
            if wait > 0:
                return Turn(False, wait, "rate")
            if state.running >= max(1, int(figures.calls * (1 - reserve))):
                return Turn(False, ASK_AGAIN_MS, "calls")
            state.minute -= 1
            state.hour -= 1
            state.running += 1
            return Turn(True)

    def release(self, api: str) -> None:
        """The call has ended."""
        with self._lock:
            if api in self._states:
                self._states[api].running -= 1

    def cool_down(self, api: str, ms: float, jitter_ms: float, *, rate: bool) -> float:
        """Close ``api``; returns the milliseconds until it opens."""
        with self._lock:
            state, _, now = self._current(api)
            if now < state.cool:
                return state.cool - now
            if rate and now - state.cool < 2 * state.long:
                ms = min(LONGEST_COOLDOWN_SECONDS * 1000, 2 * state.long)
            state.cool = now + ms + jitter_ms
            if rate:
                state.long, state.minute, state.at = ms, 0.0, state.cool
            return state.cool - now

    def left(self, api: str) -> Left:
        """What is left of ``api``."""
        with self._lock:
            state, _, now = self._current(api)
            closed = max(0.0, state.cool - now) / 1000
            return Left(api, int(state.minute), int(state.hour), state.running, closed)

    def _current(self, api: str) -> tuple[_State, Figures, float]:
        figures, now = self._figures(api), self._now_ms()
        state = self._states.setdefault(api, _State(figures.minute_burst, figures.hour_burst, now))
        passed = max(0.0, now - state.at)
        state.minute = min(figures.minute_burst, state.minute + passed * figures.minute_rate)
        state.hour = min(figures.hour_burst, state.hour + passed * figures.hour_rate)
        state.at = max(state.at, now)
        return state, figures, now


def _wait(left: float, burst: float, rate: float, reserve: float) -> float:
    need = min(burst, 1 + reserve * burst)
    return (need - left) / rate if left < need else 0.0
