"""Connections the server closed while they lay in the pool are replaced before anybody asks something over them."""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
import requests
from flask import Flask
from sqlalchemy import Connection, text

from scrm.kernel.db import db
from tests.stack import Stack, wait_until

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
def pooled(app: Flask, committed: object) -> Iterator[list[int]]:
    """Server process ids of three connections that lie in a pool that holds no others."""
    db.session.remove()
    db.engine.dispose()
    with ExitStack() as stack:
        taken = [stack.enter_context(db.engine.connect()) for _ in range(3)]
        pids = [pid_of(one) for one in taken]
    yield pids
    db.engine.dispose()


def pid_of(connection: Connection) -> int:
    pid = connection.scalar(PID)
    assert isinstance(pid, int)
    return pid


def end(pids: list[int]) -> None:
    """End server processes and wait until they are gone."""
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) pid", (pids,))


def test_connections_that_ended_in_the_pool_fail_nobody(pooled: list[int]) -> None:
    end(pooled)
    with ExitStack() as stack:
        fresh = [pid_of(stack.enter_context(db.engine.connect())) for _ in pooled]
    assert not set(fresh) & set(pooled)


def test_a_write_over_one_that_ended_happens_once(pooled: list[int]) -> None:
    end(pooled)
    with db.engine.begin() as connection:
        note = "INSERT INTO schedule_runs (name, woken_at) VALUES ('pool', now())"
        connection.execute(text(note))
    with db.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM schedule_runs WHERE name = 'pool'")) == 1


def test_connections_that_live_are_kept(pooled: list[int]) -> None:
    for _ in range(5):
        with db.engine.connect() as connection:
            assert pid_of(connection) in pooled


def test_times_are_utc_whatever_zone_the_database_was_made_in(pooled: list[int]) -> None:
    with db.engine.begin() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'America/New_York'"))
    db.engine.dispose()
    try:
        with db.engine.connect() as connection:
            at = connection.scalar(text("SELECT timestamptz '2026-03-01 23:30:00+00'"))
            day = connection.scalar(
                text("SELECT CAST(CAST(timestamptz '2026-03-02 01:00:00+00' AS date) AS text)")
            )
        assert (at.isoformat(), day) == ("2026-03-01T23:30:00+00:00", "2026-03-02")
    finally:
        with db.engine.begin() as connection:
            connection.execute(text(f"ALTER DATABASE {name} RESET timezone"))


@pytest.mark.fault
@pytest.mark.enable_socket
def test_no_request_fails_once_postgres_is_back() -> None:
    with Stack(["web"]) as stack:
        assert all(requests.get(f"{stack.url}/readyz", timeout=30).ok for _ in range(20))
        stack.stop_store("postgres")
        stack.start_store("postgres")
        wait_until(lambda: stack.sql("SELECT 1") == [(1,)], 60)
        answers = [requests.get(f"{stack.url}/readyz", timeout=30).status_code for _ in range(40)]
        assert set(answers) == {requests.codes.ok}, answers
