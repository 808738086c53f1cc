"""A lean load generator: prepared requests over keep-alive sockets, one epoll loop, no HTTP library.

It costs about 15 µs a request, the same for every server, so that what is measured is the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200"
END_OF_HEAD = b"\r\n\r\n"
RECEIVE_BYTES = 65536


@dataclass
class Result:
    """What came of a run; ``latencies`` in seconds, from the moment a request was due."""

    seconds: float = 0.0
    ok: list[int] = field(default_factory=list)  # index into the requests
    refused: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Successful answers per second."""
        return len(self.ok) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency that ``share`` of the answers kept."""
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def complete(answer: bytes) -> bool:
    """Whether ``answer`` is a whole response with Content-Length."""
    end = answer.find(END_OF_HEAD)
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(b"content-length:")
    length = (
        int(head[at + 15 : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else end]) if at >= 0 else 0
    )
    return len(answer) >= end + 4 + length


def connect(port: int, count: int) -> list[socket.socket]:
    """``count`` open connections to a local server."""
    made = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(count)]
    for one in made:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def drive(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    rate: float | None = None,
    repeat: bool = False,
) -> Result:
    """Send ``requests`` for at most ``seconds``.

    :param rate: requests per second on a fixed plan (latency counts from the planned moment); None: as fast as answers come
    :param repeat: start over at the end of ``requests`` instead of ending
    """
    sockets = connect(port, connections)
    try:
        return _Loop(sockets, requests, rate, repeat).run(seconds)
    finally:
        for one in sockets:
            one.close()


class _Loop:
    """One run over a set of sockets."""

    def __init__(
        self, sockets: list[socket.socket], requests: Sequence[bytes], rate: float | None, repeat: bool
    ) -> None:
        self.requests, self.rate, self.repeat = requests, rate, repeat
        self.free = list(sockets)
        self.busy: dict[socket.socket, tuple[int, float, bytes]] = {}
        self.poll = selectors.DefaultSelector()
        for one in sockets:
            self.poll.register(one, selectors.EVENT_READ)
        self.sent = 0
        self.result = Result()

    def run(self, seconds: float) -> Result:
        """Send until the time or the requests end, then wait for what is under way."""
        started = time.perf_counter()
        until = started + seconds
        while self.busy or self._more(until):
            if self._more(until):
                self._send_due(started)
            for key, _ in self.poll.select(self._pause(started) if self._more(until) else 5.0):
                self._receive(key.fileobj)
        self.result.seconds = time.perf_counter() - started
        self.poll.close()
        return self.result

    def _more(self, until: float) -> bool:
        return (self.repeat or self.sent < len(self.requests)) and time.perf_counter() < until

    def _pause(self, started: float) -> float:
        if self.rate is None or not self.free:
            return 1.0
        return max(0.0, started + self.sent / self.rate - time.perf_counter())

    def _send_due(self, started: float) -> None:
        while self.free and (self.repeat or self.sent < len(self.requests)):
            now = time.perf_counter()
            due = now if self.rate is None else started + self.sent / self.rate
            if due > now:
                return
            index = self.sent % len(self.requests)
            self.sent += 1
            one = self.free.pop()
            self.busy[one] = (index, due, b"")
            one.sendall(self.requests[index])

    def _receive(self, one: Any) -> None:
        index, due, before = self.busy[one]
        part = one.recv(RECEIVE_BYTES)
        answer = before + part
        if not part:
            raise ConnectionError("the server closed a connection in the middle of the measurement")
        if not complete(answer):
            self.busy[one] = (index, due, answer)
            return
        del self.busy[one]
        self.free.append(one)
        self.result.latencies.append(time.perf_counter() - due)
        if answer.startswith(OK):
            self.result.ok.append(index)
        else:
            self.result.refused += 1
