"""Every error as an RFC 9457 problem document, with the field that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from flask import Flask, Response, json, make_response, request
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from scrm.kernel.errors import ScrmError, Unavailable

log = structlog.get_logger(__name__)
MIME = "application/problem+json"


def problem(
    status: int, code: str, title: str, detail: str, fields: Mapping[str, str] | None = None
) -> Response:
    """A problem document as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if fields:
        body["fields"] = dict(fields)
    response = make_response(json.dumps(body, ensure_ascii=False), status)
    response.headers["Content-Type"] = MIME
    return response


def flatten(messages: Any, path: str = "") -> dict[str, str]:
    """marshmallow's nested messages as ``{"attachments.2.link.title": "…"}``."""
    if isinstance(messages, Mapping):
        pairs = [
            (f"{path}.{key}" if path else str(key), value)
            for key, value in messages.items()
            if key != "_schema"
        ]
        flat = {k: v for inner, value in pairs for k, v in flatten(value, inner).items()}
        return flat | (flatten(messages["_schema"], path) if "_schema" in messages else {})
    text = "; ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
    return {path or "body": text}


def _scrm_error(error: ScrmError) -> Response:
    return problem(error.status, error.code, type(error).__name__, error.message, error.fields)


def http_error(error: HTTPException) -> Response:
    """werkzeug's and webargs' errors; the latter carry the fields."""
    if error.response is not None and error.code is None:
        return make_response(error.response)
    data = getattr(error, "data", None) or {}
    messages = data.get("messages") or {}
    inner = (
        next(iter(messages.values()))
        if len(messages) == 1 and next(iter(messages)) in LOCATIONS
        else messages
    )
    fields = flatten(inner) if inner else {}
    detail = "; ".join(f"{k}: {v}" for k, v in fields.items()) or _said(error)
    code = error.name.lower().replace(" ", "-")
    return problem(error.code or 500, "invalid-input" if fields else code, error.name, detail, fields)


def _said(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge) and request.max_content_length:
        return f"the request is larger than the {request.max_content_length} bytes taken here"
    return error.description or error.name


LOCATIONS = {"json", "query", "headers", "form", "files", "path"}


def _store_away(error: Exception) -> Response:
    log.warning("store away", error=type(error).__name__)
    return _scrm_error(Unavailable("a store cannot be reached at the moment; ask again in a few seconds"))


def _unforeseen(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return http_error(
        InternalServerError("something went wrong on our side; the log has the reason under this request id")
    )


def register_errors(app: Flask) -> None:
    """Answer every error of this app with a problem document."""
    app.register_error_handler(ScrmError, _scrm_error)
    app.register_error_handler(HTTPException, http_error)
    for away in (OperationalError, InterfaceError, RedisError):
        app.register_error_handler(away, _store_away)
    app.register_error_handler(Exception, _unforeseen)
