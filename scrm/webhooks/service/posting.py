"""One HTTP POST to a checked address, with a hard end: whatever the receiver does, it is over in time."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Any

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, SSLError
from urllib3.util.response import is_fp_closed

from scrm.kernel.clock import utcnow
from scrm.webhooks.service.addresses import AddressRefused, Rules, Target, is_listed, parse_target, resolve
from scrm.webhooks.service.dialing import ProxyRefused, dial
from scrm.webhooks.service.lines import Line, Lines, Where

DRAINED_BYTES = (
    16 * 1024
)  # of an answer's body, read so that the receiver can end in peace; nobody looks at it
MOST_RETRY_AFTER = 24 * 3600  # seconds; who asks for more is asked again after a day
ENDED_WHILE_IDLE = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
USER_AGENT = "wecom-scrm-webhooks/1"


@dataclass(frozen=True)
class Answer:
    """What came of a post.

    :param status: HTTP status; None: no answer
    :param error: why there was none
    :param retry_after: seconds the receiver asked us to wait
    """

    status: int | None
    error: str | None
    milliseconds: int
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """Only 2xx is a success; a redirect is none, it is not followed."""
        return self.status is not None and 200 <= self.status < 300


class Post:
    """A post that another thread may abort."""

    def __init__(
        self, url: str, lines: Lines, rules: Rules, *, connect_seconds: float, seconds: float, ca_file: str
    ) -> None:
        self._url, self._lines, self._rules, self._ca = url, lines, rules, ca_file or certifi.where()
        self._connect_seconds, self._seconds = connect_seconds, seconds
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = (
            None  # what abort shuts down; a line's own, or one that becomes a line
        )
        self._aborted = False

    def run(self, body: bytes, headers: dict[str, str]) -> Answer:
        """Send; every failure is an Answer. In a thread."""
        self._started = time.monotonic()
        status, error, retry_after = None, None, None
        try:
            status, retry_after = self._exchange(body, headers)
        except AddressRefused as refused:
            error = str(refused)
        except (OSError, HTTPError, http.client.HTTPException, ValueError) as failed:
            error = "no answer in time" if self._late() else _reason(failed)
        return Answer(status, error, round((time.monotonic() - self._started) * 1000), retry_after)

    def abort_if_late(self) -> None:
        """Cut the connection when the time is over; a receiver that sends one byte a second gets no longer either."""
        if self._late():
            with self._lock:
                self._aborted = True
                if self._socket is not None:
                    with contextlib.suppress(OSError):  # it ended by itself this moment
                        self._socket.shutdown(socket.SHUT_RDWR)

    def _late(self) -> bool:
        return time.monotonic() - self._started > self._seconds

    def _left(self) -> float:
        left = self._seconds - (time.monotonic() - self._started)
        if left <= 0 or self._aborted:
            raise TimeoutError
        return left

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        target = parse_target(self._url, self._rules)
        addresses = resolve(target, self._rules, self._left())
        where = Where(target.scheme, target.host, target.port, self._ca)
        kept = self._lines.take(where, addresses)
        if kept is not None:
            try:
                return self._ask(kept, target.path, body, headers)
            except (
                ENDED_WHILE_IDLE
            ):  # at this moment; the receiver knows what it saw before by its webhook-id
                self._left()
        return self._ask(self._opened(where, target, addresses), target.path, body, headers)

    def _opened(self, where: Where, target: Target, addresses: list[str]) -> Line:
        opened, address = self._dial(addresses, target.port)
        connection = self._connection(target)
        connection._new_conn = lambda: opened
        line = Line(where, address, connection, opened.dup())  # outlives the wrapping by TLS
        self._hold(line.raw)
        try:
            connection.connect()  # the handshake, where there is one
        except BaseException:
            self._hold(None)
            line.close()
            raise
        connection.auto_open = 0  # it goes to the address that was checked, or nowhere
        return line

    def _ask(self, line: Line, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        """One request; the line is kept when its answer was read to the end, and closed otherwise."""
        self._hold(line.raw)
        whole = False
        try:
            line.connection.sock.settimeout(self._left())
            raw = {"preload_content": False, "decode_content": False}  # neither floods nor compressed bombs
            line.connection.request("POST", path, body=body, headers=headers, **raw)
            answer = line.connection.getresponse()
            self._left()  # headers that were cut off read like headers that ended
            with contextlib.suppress(OSError, HTTPError, http.client.HTTPException):  # the status says it all
                answer.read(DRAINED_BYTES)
                whole = is_fp_closed(answer) and line.connection.sock is not None and not self._aborted
            return answer.status, retry_after(answer.headers.get("Retry-After"))
        finally:
            self._hold(None)
            self._lines.keep(line) if whole else line.close()

    def _connection(self, target: Target) -> Any:
        """A connection whose name is the receiver's, for certificate and Host header; its socket will be ours."""
        timeout = min(self._connect_seconds, self._left())
        if target.scheme == "https":
            return HTTPSConnection(
                target.host,
                target.port,
                timeout=timeout,
                cert_reqs="CERT_REQUIRED",
                ssl_context=_context(self._ca),
            )
        return HTTPConnection(target.host, target.port, timeout=timeout)

    def _dial(self, addresses: list[str], port: int) -> tuple[socket.socket, str]:
        """Connect to the first of the checked addresses that answers; which one that was."""
        problem: OSError = OSError("no address")
        for address in addresses:
            try:
                proxy = None if is_listed(address, self._rules) else self._rules.proxy
                return dial(address, port, proxy, partial(self._patience, time.monotonic())), address
            except OSError as error:
                problem = error
        raise problem

    def _patience(self, began: float) -> float:
        """Seconds left to connect, begun then."""
        left = self._connect_seconds - (time.monotonic() - began)
        if left <= 0:
            raise TimeoutError
        return min(left, self._left())

    def _hold(self, raw: socket.socket | None) -> None:
        """What :meth:`abort_if_late` shuts down from now on."""
        with self._lock:
            self._socket = raw


@lru_cache(maxsize=4)
def _context(ca_file: str) -> ssl.SSLContext:
    """Verifies certificates and names; kept, because reading the authorities costs more than a delivery."""
    return ssl.create_default_context(cafile=ca_file)


def retry_after(header: str | None) -> float | None:
    """Seconds to wait by ``Retry-After``, a number or a date (RFC 9110 section 10.2.3); None when it says nothing."""
    if header is None:
        return None
    if header.strip().isdigit() and header.isascii():
        return min(float(header[:20]), MOST_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)) - utcnow()
    return min(max(seconds.total_seconds(), 0.0), MOST_RETRY_AFTER)


def _reason(error: Exception) -> str:
    """Why there was no answer; never what the receiver said."""
    if isinstance(error, SSLError | ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or 'no secure connection'}"
    if isinstance(error, ProxyRefused):
        return f"no connection: {error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return f"no connection: {os.strerror(error.errno)}"
    return f"no answer: {type(error).__name__}"
