"""Heartbeats of processes, for `scrm doctor` and the overview page: who lives says so in Redis, briefly."""

from __future__ import annotations

import os
import socket

from redis.exceptions import RedisError

from scrm.kernel.redis import redis

PREFIX = "scrm:beat:"
LIFE_SECONDS = 10


def beat(name: str) -> None:
    """Say that the process called ``name`` lives; silent when Redis is away."""
    try:
        redis().set(f"{PREFIX}{name}", f"{socket.gethostname()}:{os.getpid()}", ex=LIFE_SECONDS)
    except RedisError:
        return


def who(name: str) -> str | None:
    """``host:pid`` of the process that last said so within the last 10 s; None when nobody did."""
    value = redis().get(f"{PREFIX}{name}")
    return value.decode() if isinstance(value, bytes) else None
