"""What every package's views share: blueprint, paging, idempotency, errors, OpenAPI."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from flask import Flask, Response, g, request
from flask_smorest import Api, Blueprint
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import RAISE
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException, UnsupportedMediaType
from werkzeug.routing import IntegerConverter
from werkzeug.routing import ValidationError as WerkzeugValidationError

from scrm.kernel import permissions
from scrm.kernel.apikeys import actor_for_token
from scrm.kernel.errors import InvalidInput, Unauthorized
from scrm.kernel.idempotency import idempotent
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor
from scrm.kernel.problems import http_error, register_errors
from scrm.kernel.schemas import PageQuery, ProblemSchema, page_schema
from scrm.kernel.storable import BIGGEST, DEEPEST

__all__ = ["PageQuery", "api_blueprint", "idempotent", "init_http", "page_schema", "paginate"]

PREFIX = "/api/v1"
VERSION = "1"
log = structlog.get_logger(__name__)


class StrictParser(FlaskParser):
    """Unknown fields are refused in the query too."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE, "query_string": RAISE}  # noqa: RUF012  # webargs' shape

    def load_json(self, req: Any, schema: Any) -> Any:
        """The body; one nested so deeply that Python cannot read it is refused like any other wrong one."""
        try:
            return super().load_json(req, schema)
        except RecursionError:
            raise InvalidInput.field("body", f"is nested deeper than {DEEPEST} levels") from None


class IdConverter(IntegerConverter):
    """``<int:…>`` in a path; no row has a number over 64 bits, so such an address does not exist."""

    def to_python(self, value: str) -> Any:
        """The number, or no match."""
        number = super().to_python(value)
        if number > BIGGEST:
            raise WerkzeugValidationError
        return number


class ApiBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest is untyped
    """A part of the API under ``/api/v1``."""

    ARGUMENTS_PARSER = StrictParser()


class ProblemApi(Api):  # type: ignore[misc]  # flask-smorest is untyped
    """flask-smorest with our problem documents in place of its own error format."""

    ERROR_SCHEMA = ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer as a problem document."""
        return http_error(error)


def api_blueprint(name: str, description: str) -> Any:
    """A blueprint whose views live under ``/api/v1``, logged with a request id."""
    blueprint = ApiBlueprint(name, name, url_prefix=PREFIX, description=description)
    blueprint.before_request(_begin)
    blueprint.after_request(_end)
    return blueprint


def _begin() -> None:
    g.pop("actor", None)  # an app context that outlives a request (tests, commands) must not lend its actor
    g.started = time.perf_counter()
    g.request_id = uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body as it is, without Content-Encoding: no gzip, no deflate")


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    ms = round((time.perf_counter() - g.started) * 1000, 1)
    log.info("request", endpoint=request.endpoint, method=request.method, status=response.status_code, ms=ms)
    structlog.contextvars.unbind_contextvars("request_id")
    return response


def bearer_actor() -> Actor | None:
    """Who the Authorization header names; None without one."""
    header = request.headers.get("Authorization")
    if not header:
        return None
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Unauthorized("the Authorization header must read `Bearer <API key>`")
    return actor_for_token(token.strip())


def init_http(app: Flask, modules: Sequence[Any]) -> None:
    """Register the views of every package, the API description and the error handlers.

    :param modules: ``views`` modules; each has a ``blueprint`` or a list ``blueprints``, of the API or of plain pages,
        and may have an ``authenticator``, a further way to find out who is asking
    """
    app.config.update(
        API_TITLE="WeCom SCRM",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=PREFIX,
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.url_map.converters["int"] = IdConverter
    api = ProblemApi(app)
    api.spec.components.security_scheme("apiKey", {"type": "http", "scheme": "bearer"})
    api.spec.options["security"] = [{"apiKey": []}]
    for blueprint in _blueprints(modules):
        register: Callable[..., Any] = (
            api.register_blueprint if isinstance(blueprint, Blueprint) else app.register_blueprint
        )
        register(blueprint)
    docs = get_swaggerui_blueprint(f"{PREFIX}/docs", f"{PREFIX}/openapi.json", {"app_name": "WeCom SCRM"})
    app.register_blueprint(docs, url_prefix=f"{PREFIX}/docs")
    own = [module.authenticator for module in modules if hasattr(module, "authenticator")]
    permissions.authenticators(app).extend([bearer_actor, *own])
    register_errors(app)


def _blueprints(modules: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for module in modules:
        single = getattr(module, "blueprint", None)
        found += [single] if single is not None else []
        found += getattr(module, "blueprints", [])
    return found
