"""The access token of one app: fetched once for all processes, renewed early, kept while Redis is away."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from scrm.kernel.clock import utcnow
from scrm.wecom.errors import Deferred, Retryable, TokenExpired, WecomError
from scrm.wecom.fetch_guard import WINDOW_SECONDS, FetchGuard
from scrm.wecom.store import SharedStore, StoreAway

log = structlog.get_logger(__name__)

API = "gettoken"
LOCK_SECONDS = 20.0  # longer than the longest fetch; a killed holder blocks the others this long
POLL_SECONDS = 0.02
EARLY_PAUSE_SECONDS = (
    60.0  # WeCom may answer an early fetch with the same token; then it is left alone for a while
)
FAILURE_SECONDS = 1.0  # threads that waited for a fetch that failed share its failure

Fetch = Callable[[], tuple[str, float]]  # the token and its seconds to live; raises WecomError


@dataclass(frozen=True)
class Token:
    """An access token and its times (Unix seconds).

    :param early_at: from here on it is renewed ahead of time while it still works
    """

    value: str
    expires_at: float
    early_at: float

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at})"


class TokenStore:
    """Token of one (corp, secret). Thread-safe; one per process and app, sharing through Redis.

    :param name: digest of corp and secret, part of the keys in Redis
    :param early_seconds: how long before its end a token is renewed
    """

    def __init__(self, store: SharedStore, name: str, fetch: Fetch, early_seconds: float) -> None:
        self._store = store
        self._key = f"scrm:token:{{{name}}}"
        self._fetch = fetch
        self._early_seconds = early_seconds
        self._guard = FetchGuard(store, f"{self._key}:fetches")
        self._lock, self._unlock = store.script("take_lock"), store.script("release_lock")
        self._mine = threading.Lock()
        self._held: Token | None = None
        self._early_try_at = 0.0
        self._failure: tuple[float, WecomError] | None = None

    def get(self) -> str:
        """A token that should work; raises WecomError when none can be had."""
        now = _now()
        held = self._held
        if held and now < held.early_at:
            return held.value
        best = self._newest()
        if best is None:
            return self.renew(None)
        if now < best.early_at:
            return best.value
        return self._renew_early(best)

    def renew(self, stale: str | None) -> str:
        """A token other than ``stale``, which WeCom refused: from another thread or process, or freshly fetched.

        :raises TokenExpired: when enough were fetched in the last minute
        """
        with self._mine:
            self._raise_recent_failure()
            end = time.monotonic() + LOCK_SECONDS
            while time.monotonic() < end:
                with self._locked() as locked:
                    found = self._newest(other_than=stale)
                    if found:
                        return found.value
                    if locked:
                        return self._fetched().value
                time.sleep(POLL_SECONDS)
        raise TokenExpired(API, None, "another process holds the token lock for too long")

    def _renew_early(self, current: Token) -> str:
        """Let one caller in the deployment renew; everybody else goes on with the token that still works."""
        if not self._mine.acquire(blocking=False):
            return current.value
        try:
            if _now() < self._early_try_at:
                return current.value
            self._early_try_at = _now() + EARLY_PAUSE_SECONDS
            with self._locked() as locked:
                newer = self._newest()
                if not locked or (newer and _now() < newer.early_at):
                    return (newer or current).value
                return self._fetched().value
        except WecomError as error:
            log.warning("early renewal of a token failed", errcode=error.errcode, kind=error.kind)
            return current.value
        finally:
            self._mine.release()

    def _fetched(self) -> Token:
        allowed = self._guard.allow()
        if allowed is None:
            raise TokenExpired(
                API, None, "enough tokens were fetched this minute", retry_after=WINDOW_SECONDS
            )
        try:
            value, seconds = self._fetch()
        except WecomError as error:
            if isinstance(error, Retryable | Deferred) and error.errcode is None:
                self._guard.refund(allowed)
            self._failure = (_now(), error)
            raise
        now = _now()
        early = max(now + seconds - self._early_seconds, now + EARLY_PAUSE_SECONDS)
        self._held = Token(value, now + seconds, min(early, now + seconds))
        self._share(self._held)
        return self._held

    def _raise_recent_failure(self) -> None:
        if self._failure and 0 <= _now() - self._failure[0] < FAILURE_SECONDS:
            old = self._failure[1]
            raise type(old)(API, old.errcode, old.errmsg, retry_after=old.retry_after)

    def _newest(self, other_than: str | None = None) -> Token | None:
        """The living token that ends last, of this process's and the shared one."""
        living = [
            token
            for token in (self._held, self._shared())
            if token and token.expires_at > _now() and token.value != other_than
        ]
        if not living:
            return None
        self._held = max(living, key=lambda token: token.early_at)
        return self._held

    def _shared(self) -> Token | None:
        try:
            raw: Any = self._store.ask(lambda redis: redis.get(self._key))
        except StoreAway:
            return None
        try:
            return Token(*json.loads(raw)) if raw else None
        except (ValueError, TypeError):
            return None

    def _share(self, token: Token) -> None:
        kept = json.dumps([token.value, token.expires_at, token.early_at])
        seconds = max(1, int(token.expires_at - _now()))
        try:
            self._store.ask(lambda redis: redis.set(self._key, kept, ex=seconds))
        except StoreAway:
            return

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the lock over all processes; True as well when Redis is away: then each process is on its own."""
        key, mark = f"{self._key}:lock", uuid.uuid4().hex
        try:
            got = bool(self._lock([key], [mark, int(LOCK_SECONDS * 1000)]))
        except StoreAway:
            yield True
            return
        try:
            yield got
        finally:
            self._let_go(key, mark, got)

    def _let_go(self, key: str, mark: str, got: bool) -> None:
        try:
            if got:
                self._unlock([key], [mark])
        except StoreAway:
            return  # it ends by itself


def _now() -> float:
    return utcnow().timestamp()
