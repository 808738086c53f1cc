"""Per-API limits: 45009 for too many in a window, 45033 for too many at once (wecom-api.md §1.3, §1.4)."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrm.sandbox.errors import WecomError

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

RATE_LIMITED = 45009
TOO_MANY_AT_ONCE = 45033
MINUTE = 60
HOUR = 3_600


@dataclass(slots=True)
class Window:
    """A fixed window of `seconds`; going over blocks for one more window, as §1.3 says of 45009."""

    seconds: int
    started: float = 0.0
    used: int = 0
    blocked_until: float = 0.0

    def take(self, now: float, limit: int) -> bool:
        """Count one call; False when it is over `limit` or the block still lasts."""
        if now < self.blocked_until:
            return False
        if now - self.started >= self.seconds:
            self.started, self.used = now, 0
        self.used += 1
        if self.used > limit:
            self.blocked_until = now + self.seconds
            return False
        return True


class RateLimits:
    """All windows and the calls under way. Thread-safe."""

    def __init__(self, world: World) -> None:
        """No calls yet."""
        self._world = world
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str, int], Window] = {}
        self._under_way: Counter[str] = Counter()

    def take(self, api: str, ip: str) -> None:
        """Count a call of `api` from `ip`; WecomError 45009 when a limit is reached."""
        limits = self._world.limits
        if not limits.rate_limits_on:
            return
        corp_minute = limits.per_api_minute.get(api, limits.corp_minute)
        rules = (
            ("corp", MINUTE, corp_minute),
            ("corp", HOUR, limits.corp_hour),
            (ip, MINUTE, limits.ip_minute),
            (ip, HOUR, limits.ip_hour),
        )
        now = self._world.clock.now()
        with self._lock:
            for scope, seconds, limit in rules:
                if limit and not self._window(scope, api, seconds).take(now, limit):
                    raise WecomError(RATE_LIMITED, "api freq out of limit")

    def take_from(self, scope: str, api: str, seconds: int, limit: int) -> bool:
        """Count one in a window of its own (message caps, uploadimg); False when over `limit`."""
        with self._lock:
            return self._window(scope, api, seconds).take(self._world.clock.now(), limit)

    def enter(self, api: str) -> None:
        """A call begins; WecomError 45033 when too many of this API are under way."""
        limits = self._world.limits
        limit = limits.per_api_concurrency.get(api, limits.concurrency)
        with self._lock:
            if limits.rate_limits_on and limit and self._under_way[api] >= limit:
                raise WecomError(TOO_MANY_AT_ONCE, "concurrent call out of limit")
            self._under_way[api] += 1

    def leave(self, api: str) -> None:
        """The call has been answered."""
        with self._lock:
            self._under_way[api] -= 1

    def clear(self) -> None:
        """Forget all windows and blocks."""
        with self._lock:
            self._windows.clear()

    def _window(self, scope: str, api: str, seconds: int) -> Window:
        key = (scope, api, seconds)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(seconds)
        return window
