"""Advisory locks in PostgreSQL: they end with the connection, so nobody can release what he does not hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from scrm.kernel.db import db, session


def lock_key(name: str) -> int:
    """A stable number for a lock's name."""
    return zlib.crc32(name.encode()) | (0x5C << 32)


def hold_in_transaction(name: str) -> None:
    """Wait for ``name`` and keep it until the running transaction ends."""
    session().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(name)})


def hold_all_in_transaction(names: Iterable[str]) -> None:
    """Wait for all of them, one after the other in this order, and keep them until the running transaction ends."""
    keys = [lock_key(name) for name in names]
    in_order = "SELECT pg_advisory_xact_lock(k) FROM (SELECT k FROM unnest(CAST(:keys AS bigint[])) WITH ORDINALITY AS t(k, n)"
    session().execute(text(f"{in_order} ORDER BY n OFFSET 0) AS keys"), {"keys": keys})


def share_in_transaction(name: str) -> None:
    """Like :func:`hold_in_transaction`, together with others who share; whoever holds it alone waits for all of us."""
    session().execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": lock_key(name)})


@contextmanager
def leader(name: str) -> Iterator[Connection | None]:
    """Try to become the only holder of ``name`` in the whole deployment.

    Yields the connection that carries the lock (keep it alive: losing it is losing the lock), or None if another
    process leads.
    """
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        got = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(name)})
        try:
            yield connection if got else None
        finally:
            if got and not connection.closed and not connection.invalidated:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": lock_key(name)})
