"""The control API: everything a person, an administrator or a test does to the simulated corp."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import orjson
from flask import Blueprint, Response, request

import scrm.sandbox.control_api
from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
ENDPOINT_NAME = str.maketrans("/:", "__", "<>")


def control_blueprint(sandbox: Sandbox) -> Blueprint:
    """All control views under /control; every answer is JSON, errors are {"error": one sentence}."""
    blueprint = Blueprint("control", __name__, url_prefix="/control")
    for name in _view_modules():
        for (method, path), view in import_module(name).routes(sandbox).items():
            endpoint = f"{method}_{path}".translate(ENDPOINT_NAME)
            blueprint.add_url_rule(path, endpoint, _json_view(view), methods=[method])
    blueprint.register_error_handler(ControlError, _refused)
    blueprint.before_request(_loopback_only)
    return blueprint


def _view_modules() -> list[str]:
    """Every `*_views` module of this package; each offers routes(sandbox)."""
    found = iter_modules(scrm.sandbox.control_api.__path__, "scrm.sandbox.control_api.")
    return [module.name for module in found if module.name.endswith("_views")]


def _json_view(view: Callable[..., Json]) -> Callable[..., Response]:
    def call(**values: Any) -> Response:
        return Response(orjson.dumps(view(**values)), content_type="application/json")

    return call


def _loopback_only() -> Response | None:
    """The API may be opened to other machines with --host; acting as a person and injecting faults may not."""
    address = request.remote_addr or "127.0.0.1"
    if address == "::1" or address.startswith(("127.", "::ffff:127.")):
        return None
    return _refused(ControlError("the control API answers loopback only", 403))


def _refused(error: ControlError) -> Response:
    return Response(orjson.dumps({"error": error.message}), error.status, content_type="application/json")
