"""At most two token fetches a minute, counted over all processes and, when Redis is away, per process.

Without it a token that is refused for ever (42001) would be fetched with every call, and wrong secrets would ban this
server's address for an hour (wecom-api.md section 1.1).
"""

from __future__ import annotations

import uuid
from collections import deque

from scrm.kernel.clock import shift, utcnow
from scrm.wecom.store import SharedStore, StoreAway

MOST = 2
WINDOW_SECONDS = 60.0


class FetchGuard:
    """Counts the fetches of one secret. Not thread-safe: its token store holds a lock around it."""

    def __init__(self, store: SharedStore, key: str) -> None:
        self._store = store
        self._key = key
        self._allow = store.script("prelude", "allow_fetch")
        self._own: deque[tuple[float, str]] = deque()

    def allow(self) -> str | None:
        """Count one fetch and return its id; None when there were enough in the last minute."""
        now, fetch = utcnow().timestamp(), uuid.uuid4().hex
        while self._own and not 0 <= now - self._own[0][0] < WINDOW_SECONDS:
            self._own.popleft()  # old, or from before the clock was set back
        if len(self._own) >= MOST or not self._allowed_by_all(fetch):
            return None
        self._own.append((now, fetch))
        return fetch

    def refund(self, fetch: str) -> None:
        """Uncount a fetch that never reached WeCom, so that it is quick again once the network is back."""
        self._own = deque(item for item in self._own if item[1] != fetch)
        try:
            self._store.ask(lambda redis: redis.zrem(self._key, fetch))
        except StoreAway:
            return

    def _allowed_by_all(self, fetch: str) -> bool:
        try:
            moved = int(shift().total_seconds() * 1000)
            return bool(self._allow([self._key], ["", moved, fetch, int(WINDOW_SECONDS * 1000), MOST]))
        except StoreAway:
            return True
