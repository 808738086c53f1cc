"""Faults of API calls on demand (design.md §7)."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

KINDS = ("latency", "errcode", "hang", "truncate", "html", "timeout_after_success", "disconnect")
DEFAULT_HANG_SECONDS = 30.0
HELD_AT_ONCE = 48  # of the server's 64 threads; the control API needs some too


@dataclass(slots=True, eq=False)
class ApiFault:
    """`pattern` is a shell pattern of API paths without /cgi-bin/; `times` None = until removed;
    `until` = when it ends by the sandbox's clock, None = never by itself."""

    kind: str
    pattern: str = "*"
    app: str | None = None
    errcode: int = -1
    seconds: float = DEFAULT_HANG_SECONDS
    times: int | None = 1
    probability: float = 1.0
    rng: random.Random = field(default_factory=random.Random)
    until: float | None = None
    struck: int = 0

    def takes(self, api: str, app: str | None, now: float) -> bool:
        """Whether this fault strikes this call, counting down when it does."""
        if self.until is not None and now >= self.until:
            return False
        if self.times == 0 or not fnmatchcase(api, self.pattern):
            return False
        if self.app is not None and self.app != app:
            return False
        if self.probability < 1 and self.rng.random() >= self.probability:
            return False
        self.struck += 1
        if self.times is not None:
            self.times -= 1
        return True


class ApiFaults:
    """The faults in force. Several may strike one call; latency adds to another kind."""

    def __init__(self) -> None:
        """No faults."""
        self._faults: list[ApiFault] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._places = threading.Semaphore(HELD_AT_ONCE)

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: ApiFault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._faults = [*self._faults, fault]

    def clear(self) -> None:
        """Remove all and let hanging calls go."""
        with self._lock:
            self._faults = []
            self._released.set()
            self._released = threading.Event()

    def listing(self) -> list[dict[str, object]]:
        """What is in force, for the control API."""
        with self._lock:
            return [
                {
                    "kind": item.kind,
                    "api": item.pattern,
                    "app": item.app,
                    "times": item.times,
                    "until": item.until,
                    "struck": item.struck,
                }
                for item in self._faults
            ]

    def strike(self, api: str, app: str | None, now: float) -> tuple[float, ApiFault | None]:
        """Return (latency in seconds, the fault that shapes the answer or None)."""
        latency = 0.0
        with self._lock:
            for fault in self._faults:
                if not fault.takes(api, app, now):
                    continue
                if fault.kind != "latency":
                    return latency, fault
                latency += fault.seconds
        return latency, None

    def hold(self, seconds: float) -> None:
        """Keep the calling thread waiting, at most until the faults are cleared.

        Beyond HELD_AT_ONCE a call is let go at once, so that threads remain for everybody else.
        """
        if self._places.acquire(blocking=False):
            try:
                self._released.wait(seconds)
            finally:
                self._places.release()
