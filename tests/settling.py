"""Waiting for what tests in other processes still have open."""

import time

from sqlalchemy import text

from scrm.kernel.db import db

NEXT = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
OLDEST = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
SECONDS = 90


def settle():
    """Return once every transaction that is running now has ended, in all databases of the server.

    PostgreSQL counts transactions over all its databases: what is to be forgotten once nobody can miss it is kept for the
    sake of a test of another worker, too.
    """
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        now, until = connection.scalar(NEXT), time.monotonic() + SECONDS
        while connection.scalar(OLDEST) < now:
            assert time.monotonic() < until, f"a transaction has been open for {SECONDS} seconds"
            time.sleep(0.05)
