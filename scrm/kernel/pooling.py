"""Connections that ended while they lay in the pool: noticed without asking the server, replaced before use.

A server that stops says so to every connection and closes it; that waits to be read on our side. SQLAlchemy learns of it
only when a statement fails, and that is somebody's request in every process; its ``pool_pre_ping`` asks the server before
each request. One look at the socket (about a microsecond, no round trip) knows the same, for writes as well as reads.

What nobody told us of (the server's machine lost its power) shows no sooner than the first statement that fails;
SQLAlchemy then drops the process's whole pool.
"""

from __future__ import annotations

import select

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

USED = "used before"  # in a pool entry's info, which SQLAlchemy empties with each new connection


def replace_ended(engine: Engine) -> None:
    """Have ``engine`` hand out no connection that the server has closed; also after ``dispose()``."""
    event.listen(engine, "checkout", _look)


def _look(connection: psycopg.Connection, entry: ConnectionPoolEntry, _: object) -> None:
    """Called with each connection that leaves the pool; a new one was just spoken over.

    :raises DisconnectionError: SQLAlchemy then puts a new connection in its place
    """
    if entry.info.get(USED) and _ended(connection):
        raise DisconnectionError("the server ended this connection while nobody used it")
    entry.info[USED] = True


def _ended(connection: psycopg.Connection) -> bool:
    """Whether a connection without a question under way has something to read: its end, or a message nobody awaits."""
    if connection.closed:
        return True
    waiting = select.poll()  # select() knows only the first 1,024 file numbers
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
