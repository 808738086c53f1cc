"""Connections to receivers that are kept for the next delivery: each leads to one address, and is taken again only while
that address is among those the name means and that are allowed now.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

IDLE_SECONDS = 20.0  # receivers close theirs after 2 to 75 seconds; one that was closed is noticed
MOST_IDLE = 64


class Where(NamedTuple):
    """What two deliveries must have in common to share a connection.

    :param host: as its certificate was checked
    :param ca_file: against which authorities
    """

    scheme: str
    host: str
    port: int
    ca_file: str


@dataclass
class Line:
    """A connection.

    :param connection: urllib3's; it opens no other by itself
    :param raw: its socket once more, which another thread may shut down
    """

    where: Where
    address: str
    connection: Any
    raw: socket.socket
    idle_since: float = 0.0  # time.monotonic()

    def close(self) -> None:
        """End it, whatever state it is in."""
        for each in (self.connection, self.raw):
            with contextlib.suppress(OSError):
                each.close()

    def ended(self) -> bool:
        """Whether the receiver closed it, or says something nobody asked for."""
        waiting = select.poll()
        waiting.register(self.raw.fileno(), select.POLLIN)
        return bool(waiting.poll(0))


@dataclass
class Lines:
    """The idle connections of this process; many threads use it."""

    idle: list[Line] = field(default_factory=list)  # the newest last
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, where: Where, addresses: Collection[str]) -> Line | None:
        """A connection that still stands, to one of these addresses."""
        self.close_old()
        with self.lock:
            fitting = [line for line in self.idle if line.where == where and line.address in addresses]
            for line in reversed(fitting):
                self.idle.remove(line)
                if not line.ended():
                    return line
                line.close()
        return None

    def keep(self, line: Line) -> None:
        """Give a connection back whose answer was read to its end."""
        line.idle_since = time.monotonic()
        with self.lock:
            self.idle.append(line)
            surplus = self.idle[:-MOST_IDLE]
            del self.idle[:-MOST_IDLE]
        for old in surplus:
            old.close()

    def close_old(self, seconds: float = IDLE_SECONDS) -> None:
        """End those that nobody used for so long."""
        with self.lock:
            since = time.monotonic() - seconds
            old = [line for line in self.idle if line.idle_since <= since]
            self.idle = [line for line in self.idle if line.idle_since > since]
        for line in old:
            line.close()
