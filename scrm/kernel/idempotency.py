"""``Idempotency-Key``: a creating request that is repeated gets the first answer and does nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from flask import Response, make_response, request
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.db import session, transaction
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.models import IdempotencyKey
from scrm.kernel.permissions import current_actor

P = ParamSpec("P")
HEADER = "Idempotency-Key"
MAX_LENGTH = 200
PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_LENGTH},
    "description": "repeat the request with the same key and it happens once",
}


def idempotent(view: Callable[P, Any]) -> Callable[P, Response]:
    """Run a creating view inside one transaction, once per key and actor."""

    @wraps(view)
    def once(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = request.headers.get(HEADER)
        with transaction():
            if key is None:
                return make_response(view(*args, **kwargs))
            return _first_or_again(key, lambda: make_response(view(*args, **kwargs)))

    documented: Any = once
    documented._apidoc = {**getattr(view, "_apidoc", {}), "manual_doc": {"parameters": [PARAMETER]}}
    return once


def _first_or_again(key: str, run: Callable[[], Response]) -> Response:
    if not 1 <= len(key) <= MAX_LENGTH:
        raise InvalidInput.field(HEADER, f"must be 1 to {MAX_LENGTH} characters")
    mine = {"actor": current_actor().name, "key": key}
    print_ = hashlib.sha256(
        b"\0".join([request.method.encode(), request.path.encode(), request.get_data()])
    ).digest()
    taken = insert(IdempotencyKey).values(**mine, fingerprint=print_).on_conflict_do_nothing()
    if session().execute(taken.returning(IdempotencyKey.key)).first() is None:
        return _again(mine, print_)
    response = run()
    done = {"status": response.status_code, "answer": response.get_json(silent=True)}
    session().execute(update(IdempotencyKey).filter_by(**mine).values(**done))
    return response


def _again(mine: dict[str, str], fingerprint: bytes) -> Response:
    """The kept answer. A parallel first request is waited for: its row blocks ours until it commits."""
    row = session().scalars(select(IdempotencyKey).filter_by(**mine)).one_or_none()
    if row is None or row.status is None:
        raise Conflict("the first request with this Idempotency-Key is still running; ask again")
    if row.fingerprint != fingerprint:
        raise InvalidInput.field(HEADER, "was used for another request; choose a new key")
    response = make_response(row.answer or {}, row.status)
    response.headers["Idempotency-Replayed"] = "true"
    return response
