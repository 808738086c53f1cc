"""Checks of the stores and the schema."""

from __future__ import annotations

import platform
from importlib.metadata import version

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from scrm.cli.doctor.finding import Finding
from scrm.cli.exits import first_line
from scrm.kernel.db import session
from scrm.kernel.redis import redis
from scrm.kernel.schema import schema_revisions

POSTGRES_LEAST = 18  # RETURNING old and new; the embedded one is 18
REDIS_LEAST = (6, 2)  # BLMOVE, which keeps a job of a killed worker


def program() -> Finding:
    """Which program this is; never fails."""
    return Finding("program", True, f"wecom-scrm {version('wecom-scrm')}, Python {platform.python_version()}")


def postgres() -> Finding:
    """PostgreSQL answers and is new enough."""
    try:
        release = str(session().scalar(text("SHOW server_version")))
    except SQLAlchemyError as error:
        session().rollback()
        reason = first_line(getattr(error, "orig", None) or error)
        return Finding("PostgreSQL", False, reason, "start it, or mend database_url (SCRM_DATABASE_URL)")
    well = int(release.split(".", maxsplit=1)[0].split(maxsplit=1)[0]) >= POSTGRES_LEAST
    return Finding("PostgreSQL", well, release, "" if well else f"install version {POSTGRES_LEAST} or newer")


def valkey() -> Finding:
    """Redis or Valkey answers, is new enough and does not drop keys when it is full."""
    try:
        found = redis().info("server")
        policy = redis().config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except RedisError as error:
        return Finding(
            "Redis/Valkey", False, first_line(error), "start it, or mend redis_url (SCRM_REDIS_URL)"
        )
    release = str(found.get("valkey_version") or found["redis_version"])
    detail = f"{release}, maxmemory-policy {policy}"
    if tuple(int(part) for part in release.split(".")[:2]) < REDIS_LEAST:
        return Finding("Redis/Valkey", False, detail, "install Redis 6.2, Valkey 7 or newer")
    if policy != "noeviction":
        return Finding(
            "Redis/Valkey", False, detail, "set maxmemory-policy to noeviction: wake-ups would vanish"
        )
    return Finding("Redis/Valkey", True, detail)


def schema() -> Finding:
    """The database has the program's revision."""
    present, newest = schema_revisions()
    if present == newest:
        return Finding("schema", True, f"revision {present}")
    return Finding(
        "schema", False, f"revision {present or 'none'}, the program wants {newest}", "run `scrm migrate`"
    )
