"""The Redis/Valkey connection. It may be emptied at any moment: wake-ups, limits and caches only."""

from __future__ import annotations

from flask import current_app
from redis import Redis

EXTENSION = "scrm_redis"


def connect(url: str) -> Redis:
    """A client with finite time-outs, so that a hanging store becomes an error and not a hanging worker."""
    return Redis.from_url(url, socket_timeout=10, socket_connect_timeout=2, health_check_interval=30)


def redis() -> Redis:
    """The client of the running app."""
    client: Redis = current_app.extensions[EXTENSION]
    return client
