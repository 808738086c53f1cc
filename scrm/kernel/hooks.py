"""Signed requests of other systems (``sources`` in the settings), checked before a view sees them.

Against replays there are three things. What is older than five minutes is refused (scrm.kernel.signing). The very same
request within this time, byte for byte, gets the first answer again and does nothing: an attacker can repeat nothing
else, since id, timestamp and body are signed. And whatever a sender signs anew may be sent as often as it likes: rows
are known by their own ids. The memory lies in Redis; where that is away or was emptied, a repetition writes the same rows
once more.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import wraps

import structlog
from flask import Response, make_response, request
from redis.exceptions import RedisError

from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import public
from scrm.kernel.redis import redis
from scrm.kernel.settings import settings
from scrm.kernel.signing import TOLERANCE_SECONDS, check_signature

log = structlog.get_logger(__name__)
REMEMBERED_SECONDS = 2 * TOLERANCE_SECONDS + 60  # a clock may be ahead by as much as another is behind
REPEATED = "Idempotency-Replayed"


def signed(view: Callable[[str, bytes], Response]) -> Callable[[str], Response]:
    """A view of ``/hooks/<source>/…`` that gets the source and the body once their signature is right.

    Nobody needs an API key for it. A source that the settings do not name answers as if the address did not exist.
    """

    @public
    @wraps(view)
    def checked(source: str) -> Response:
        known = settings().sources.get(source)
        if known is None:
            raise NotFound(f"there is no source {source[:64]!r}; give [sources.<name>] in the configuration")
        body = request.get_data()
        check_signature([one.get_secret_value() for one in known.secrets], request.headers, body)
        return _once(body, lambda: make_response(view(source, body)))

    return checked


def _once(body: bytes, run: Callable[[], Response]) -> Response:
    """The first answer to this very request; one that failed is not remembered, so that it can be sent again."""
    name = _name(body)
    try:
        kept = redis().get(name)
    except RedisError as error:
        log.warning("repetitions of signed requests are not noticed", error=type(error).__name__)
        return run()
    if isinstance(kept, bytes):
        again = Response(zlib.decompress(kept), mimetype="application/json")
        again.headers[REPEATED] = "true"
        return again
    response = run()
    if response.status_code == 200:
        _remember(name, response.get_data())
    return response


def _remember(name: str, answer: bytes) -> None:
    try:
        redis().set(name, zlib.compress(answer, 1), ex=REMEMBERED_SECONDS)
    except RedisError as error:
        log.warning("repetitions of signed requests are not noticed", error=type(error).__name__)


def _name(body: bytes) -> str:
    """What is the same only for the very same request; ``path`` names the source."""
    signed = [request.headers["webhook-id"], request.headers["webhook-timestamp"]]
    parts = [request.path, *signed, hashlib.sha256(body).hexdigest()]
    return f"scrm:hook:{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"
