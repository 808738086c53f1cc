"""Redis as the gateway uses it: tokens and limits shared by all processes, never waited for.

A Redis that is away or hangs costs each process one short time-out every few seconds; in between the gateway works
with what the process knows itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 1.0
AWAY_SECONDS = 2.0  # how long a failing Redis is left alone
T = TypeVar("T")


class StoreAway(Exception):  # noqa: N818  # reads as a statement where it is caught
    """Redis cannot be asked now."""


class SharedStore:
    """A Redis client with short time-outs and a circuit breaker."""

    def __init__(self, url: str) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis closed while idle is simply opened again
        )
        self._away_until = 0.0

    def ask(self, question: Callable[[Redis], T]) -> T:
        """Run ``question`` on the client; raises StoreAway when Redis failed now or a moment ago."""
        if time.monotonic() < self._away_until:
            raise StoreAway
        try:
            return question(self._client)
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            reason = type(error).__name__
        log.warning("redis away; limits and tokens are kept per process", error=reason)
        raise StoreAway

    def script(self, *names: str) -> Callable[..., Any]:
        """The Lua files ``scrm/wecom/lua/<name>.lua``, one after the other, as a function of keys and arguments.

        The function raises StoreAway.
        """
        folder = resources.files("scrm.wecom").joinpath("lua")
        source = "\n".join(folder.joinpath(f"{name}.lua").read_text() for name in names)
        compiled = self._client.register_script(source)

        def run(keys: list[str], args: list[Any]) -> Any:
            return self.ask(lambda client: compiled(keys=keys, args=args, client=client))

        return run

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
