"""A lean keep-alive HTTP/1.1 client: thousands of callbacks a second on half a core need no more."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

RECEIVE_BYTES = 65_536


class WireError(OSError):
    """The other side did not answer as HTTP within the deadline."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a callback URL points."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Split an http URL; ValueError for another scheme or a missing host."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"callback_url must be an http address, not {url!r}")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.hostname, parts.port or 80, (parts.path or "/") + query)

    def request(self, method: str, query: str, body: bytes) -> bytes:
        """The bytes of one request; `query` is added to whatever the URL already has."""
        path = f"{self.path}{'&' if '?' in self.path else '?'}{query}"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUser-Agent: Mozilla/4.0\r\n"
            f"Accept: */*\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Connection:
    """One socket to one host, opened when needed and kept while the server keeps it. Not thread-safe."""

    def __init__(self, host: str, port: int) -> None:
        """Remember where to connect; nothing is opened yet."""
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def send(self, request: bytes, timeout: float) -> tuple[int, bytes]:
        """Return (status, body); OSError on refusal, cut or after `timeout` seconds in all."""
        deadline = time.monotonic() + timeout
        reused = self._socket is not None
        try:
            return self._exchange(request, deadline)
        except TimeoutError:
            self.close()
            raise
        except OSError:
            self.close()
            if not reused:
                raise
            # The server may have closed an idle connection; that is no failed attempt.
            return self._exchange_once(request, deadline)

    def close(self) -> None:
        """Drop the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange_once(self, request: bytes, deadline: float) -> tuple[int, bytes]:
        try:
            return self._exchange(request, deadline)
        except OSError:
            self.close()
            raise

    def _exchange(self, request: bytes, deadline: float) -> tuple[int, bytes]:
        opened = self._socket
        if opened is None:
            opened = socket.create_connection(self._address, max(0.001, deadline - time.monotonic()))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = opened
        opened.settimeout(max(0.001, deadline - time.monotonic()))
        opened.sendall(request)
        status, headers, body = _read_answer(opened, deadline)
        if b"connection: close" in headers:
            self.close()
        return status, body


def _read_answer(opened: socket.socket, deadline: float) -> tuple[int, bytes, bytes]:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _receive(opened, deadline)
    headers, body = data[:end].lower(), data[end + 4 :]
    if not headers.startswith(b"http/1."):
        raise WireError("the answer is not HTTP")
    status = int(headers[9:12])
    if b"transfer-encoding: chunked" in headers:
        return status, headers, _read_chunks(opened, body, deadline)
    length = _content_length(headers)
    while len(body) < length:
        body += _receive(opened, deadline)
    return status, headers, body


def _content_length(headers: bytes) -> int:
    start = headers.find(b"content-length:")
    if start < 0:
        return 0
    end = headers.find(b"\r\n", start)
    return int(headers[start + 15 : end if end >= 0 else len(headers)])


def _read_chunks(opened: socket.socket, data: bytes, deadline: float) -> bytes:
    body = b""
    while True:
        while (end := data.find(b"\r\n")) < 0:
            data += _receive(opened, deadline)
        size = int(data[:end].split(b";")[0], 16)
        while len(data) < end + 2 + size + 2:
            data += _receive(opened, deadline)
        if size == 0:
            return body
        body += data[end + 2 : end + 2 + size]
        data = data[end + 2 + size + 2 :]


def _receive(opened: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no complete answer in time")
    opened.settimeout(left)
    part = opened.recv(RECEIVE_BYTES)
    if not part:
        raise WireError("the connection was closed before the answer was complete")
    return part
