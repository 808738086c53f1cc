"""Takes callbacks in front of Flask: the same process and port, without the 75 µs that Flask costs a request.

WeCom posts every event of the company here, and CPU per callback bounds the intake (docs/adr/0005-group-commit.md);
nothing of Flask is needed for checking a signature and waiting for a commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from scrm.kernel import crashpoints, metrics
from wecom_callbacks.committer import Committer, NotStored
from wecom_callbacks.intake import Door, parse_query
from wecom_callbacks.refusals import Refusal, Refused

log = structlog.get_logger(__name__)

PREFIX: Final = "/wecom/callbacks/"
TEXT: Final = "text/plain; charset=utf-8"
SUCCESS: Final = (b"success",)
SUCCESS_HEADERS: Final = [("Content-Type", TEXT), ("Content-Length", str(len(SUCCESS[0])))]
STATUS_LINES: Final = {
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    413: "413 Content Too Large",
    503: "503 Service Unavailable",
}

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class CallbackGate:
    """WSGI middleware that answers ``POST /wecom/callbacks/<app>`` and leaves everything else to ``inner``."""

    def __init__(self, inner: WsgiApp, door: Door, committer: Committer) -> None:
        self._inner = inner
        self._door = door
        self._committer = committer
        self._ack_seconds = {name: metrics.ACK_SECONDS.labels(name) for name in door.apps}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] != "POST" or not path.startswith(PREFIX):
            return self._inner(environ, start_response)
        started = time.perf_counter()
        app = path[len(PREFIX) :]
        try:
            self._take(app, environ)
        except Refused as refused:
            return _answer(app, refused.refusal, start_response)
        except NotStored:
            return _answer(app, Refusal.STORE_AWAY, start_response)
        crashpoints.reached("callback_committed")
        self._ack_seconds[app].observe(time.perf_counter() - started)
        start_response("200 OK", SUCCESS_HEADERS)
        return SUCCESS

    def _take(self, app: str, environ: Environ) -> None:
        """Return when the callback is durable; raises Refused or NotStored."""
        self._door.crypto(app)
        body = _body(environ, self._door.max_body)
        self._committer.store(self._door.open(app, parse_query(environ.get("QUERY_STRING", "")), body))


def _body(environ: Environ, limit: int) -> bytes:
    """The request's body. One that says it is over the limit is not read; one without length only up to the limit."""
    length = environ.get("CONTENT_LENGTH")
    if length and (not length.isdigit() or int(length) > limit):
        raise Refused(Refusal.TOO_LARGE)
    try:
        body: bytes = environ["wsgi.input"].read(int(length) if length else limit + 1)
    except OSError:  # the sender went away in the middle
        raise Refused(Refusal.NOT_XML) from None
    return body


def _answer(app: str, refusal: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    line = note_refusal(app, refusal)
    headers = [("Content-Type", TEXT), ("Content-Length", str(len(line)))]
    start_response(STATUS_LINES[refusal.status], headers)
    return (line,)


def note_refusal(app: str, refusal: Refusal) -> bytes:
    """Count and log a refusal; returns the line to answer. Names nobody configured are not repeated anywhere."""
    known = "unknown" if refusal is Refusal.UNKNOWN_APP else app
    reason = refusal.name.lower()
    metrics.CALLBACKS_REFUSED.labels(known, reason).inc()
    log.warning("callback refused", app=known, reason=reason)
    return f"{refusal.line}\n".encode()
