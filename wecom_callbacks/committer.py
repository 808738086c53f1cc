"""Group commit: request threads hand rows to one thread that writes all of them in one statement and one commit.

A thread is woken only after its row is durable (docs/adr/0005-group-commit.md). Nothing is answered early: when the
store is away or slow, :meth:`Committer.store` raises and the sender repeats. Writing a row twice is harmless, the
digest is unique, so a batch whose outcome is unknown (the connection broke) is simply written again.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import psycopg
import structlog

log = structlog.get_logger(__name__)

INSERT: Final = """
INSERT INTO callback_inbox (digest, app, lane, body, received_at)
SELECT * FROM unnest(%b::bytea[], %b::text[], %b::text[], %b::text[], %b::timestamptz[])
ON CONFLICT (digest) DO NOTHING
"""
BATCH_MAX: Final = 500
RECONNECT_SECONDS: Final = 0.1
CONNECT_SECONDS: Final = 2


class NotStored(Exception):  # noqa: N818  # reads as a statement where it is raised
    """The row is not known to be durable; the sender must try again."""


class NewRow(NamedTuple):
    """A callback to be stored; the order is that of the columns in INSERT."""

    digest: bytes
    app: str
    lane: str
    body: str
    received_at: datetime


class _Waiting:
    """A row and the thread that waits for it."""

    __slots__ = ("done", "row", "stored", "until")

    def __init__(self, row: NewRow, until: float) -> None:
        self.row = row
        self.until = until
        self.stored = False
        self.done = threading.Lock()
        self.done.acquire()


class Committer:
    """One per process; its thread starts with the first row and again in a forked child.

    :param conninfo: libpq address of the database
    :param timeout: seconds a request may wait for its commit
    :param committed: told the lanes of each batch after its commit; must not block
    """

    def __init__(self, conninfo: str, timeout: float, committed: Callable[[set[str]], None]) -> None:
        self._conninfo = conninfo
        self._timeout = timeout
        self._committed = committed
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.close)

    def _reset(self) -> None:
        """Start from nothing: also in a forked child, where the parent's thread does not exist."""
        self._queue: deque[_Waiting] = deque()
        self._bell = threading.Lock()
        self._asleep = False
        self._closing = False
        self._busy_since: float | None = None
        self._connection: psycopg.Connection | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def store(self, row: NewRow) -> None:
        """Return when ``row`` is durable.

        :raises NotStored: when it is not, within the timeout; at once while the store has been away for half of it,
            so that callers do not pile up
        """
        if self._thread is None or not self._thread.is_alive():
            self._start()
        now = time.monotonic()
        since = self._busy_since
        if self._closing or (since is not None and now - since > self._timeout / 2):
            raise NotStored
        waiting = _Waiting(row, now + self._timeout)
        self._queue.append(waiting)
        if self._asleep:
            self._ring()
        waiting.done.acquire(timeout=self._timeout)
        if not waiting.stored:
            raise NotStored

    def close(self) -> None:
        """Write what is waiting, then end the thread."""
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return
        self._closing = True
        self._ring()
        thread.join(self._timeout)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._bell.acquire(blocking=False)
                thread = threading.Thread(target=self._run, name="callback-committer", daemon=True)
                thread.start()
                self._thread = thread

    def _ring(self) -> None:
        """Wake the thread; ringing twice is the same as once."""
        self._asleep = False
        with suppress(RuntimeError):
            self._bell.release()

    def _run(self) -> None:
        while batch := self._next():
            self._busy_since = time.monotonic()
            try:
                self._write(batch)
            finally:  # whatever ends this thread must not keep the next one from being asked
                self._busy_since = None
        self._disconnect()

    def _next(self) -> list[_Waiting]:
        """Everything that waits, up to the cap; sleeps while there is nothing. Empty means: closed."""
        while not self._queue:
            if self._closing:
                return []
            self._asleep = True
            if not self._queue and not self._closing:
                self._bell.acquire()
            self._asleep = False
        return [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]

    def _write(self, batch: list[_Waiting]) -> None:
        """Store a batch and wake its threads; a store that is away is tried again for half the timeout."""
        patient_until = time.monotonic() + self._timeout / 2
        while True:
            try:
                self._insert(batch)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.warning("callbacks wait for the database", waiting=len(batch), error=type(error).__name__)
                self._disconnect()
                if self._closing or time.monotonic() > patient_until:
                    self._give_up(batch)
                    return
                time.sleep(RECONNECT_SECONDS)
            except psycopg.Error as error:
                log.warning("callbacks cannot be stored", rows=len(batch), error=type(error).__name__)
                self._disconnect()
                self._write_singly(batch)
                return
            else:
                self._wake(batch)
                return

    def _write_singly(self, batch: list[_Waiting]) -> None:
        """Find the row that the database refuses: the others must not suffer."""
        if len(batch) == 1:
            batch[0].done.release()
            return
        for waiting in batch:
            self._write([waiting])

    def _give_up(self, batch: list[_Waiting]) -> None:
        """Let everybody go without success until the store answers again; :meth:`store` refuses meanwhile."""
        while True:
            for waiting in batch:
                waiting.done.release()
            if self._closing:
                return
            try:
                self._connected()
            except psycopg.Error:
                time.sleep(RECONNECT_SECONDS)
            else:
                log.info("the database is back")
                return
            batch = [self._queue.popleft() for _ in range(len(self._queue))]

    def _insert(self, batch: list[_Waiting]) -> None:
        # Two processes that insert the same digests in different order would wait for each other: sorted, they queue.
        rows = sorted(waiting.row for waiting in batch)
        columns = [list(column) for column in zip(*rows, strict=True)]
        self._connected().execute(INSERT, columns, prepare=True)

    def _wake(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            waiting.stored = True
            waiting.done.release()
        self._committed({waiting.row.lane for waiting in batch})

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="scrm-intake",
                options="-c synchronous_commit=on",
                tcp_user_timeout=int(self._timeout * 1000),
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
