"""The control API: everything a person, an administrator or a test does to the simulated corp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from flask import Blueprint, Response, request

from scrm.sandbox.control_api import (
    console_views,
    contact_views,
    corp_views,
    group_views,
    kf_views,
    state_views,
    traffic_views,
)
from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
Routes = dict[tuple[str, str], "Callable[..., Json]"]


def control_blueprint(sandbox: Sandbox) -> Blueprint:
    """All control views under /control; every answer is JSON, errors are {"error": one sentence}."""
    blueprint = Blueprint("control", __name__, url_prefix="/control")
    modules = (corp_views, contact_views, group_views, kf_views, console_views, state_views, traffic_views)
    for module in modules:
        for (method, path), view in module.routes(sandbox).items():
            name = f"{method}_{path}".replace("/", "_").replace("<", "").replace(">", "").replace(":", "_")
            blueprint.add_url_rule(path, name, _json_view(view), methods=[method])
    blueprint.register_error_handler(ControlError, _refused)
    blueprint.before_request(_loopback_only)
    return blueprint


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
