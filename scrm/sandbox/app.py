"""The sandbox as a WSGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from scrm.sandbox.control_api.blueprint import control_blueprint
from scrm.sandbox.gateway import Gateway, dispatch
from scrm.sandbox.handlers import load_handlers
from scrm.sandbox.people import link_quota
from scrm.sandbox.qr_pictures import pictures_blueprint
from scrm.sandbox.runtime import Sandbox
from scrm.sandbox.state_file import load

if TYPE_CHECKING:
    from pathlib import Path

    from scrm.sandbox.config import SandboxConfig


def create_sandbox(config: SandboxConfig, state_file: Path | None = None) -> Flask:
    """Build a sandbox: /cgi-bin/ answered by the gateway, /control/ by Flask views.

    With a `state_file` the corp is read from it when it exists; POST /control/snapshot writes it.
    `app.extensions["sandbox"]` is the Sandbox, so that tests in one process can look at it.
    """
    load_handlers()
    app = Flask("scrm.sandbox")
    sandbox = Sandbox.create(config)
    sandbox.state_file = state_file
    if state_file is not None:
        load(sandbox, state_file)
    else:
        link_quota.replan(sandbox)
    app.extensions["sandbox"] = sandbox
    app.register_blueprint(control_blueprint(sandbox))
    app.register_blueprint(pictures_blueprint(sandbox))
    app.register_error_handler(HTTPException, _as_json)
    app.wsgi_app = dispatch(Gateway(sandbox), app.wsgi_app)  # type: ignore[method-assign]
    return app


def _as_json(error: HTTPException) -> Response:
    body = orjson.dumps({"error": f"{error.name}: see docs/sandbox.md for the control calls"})
    return Response(body, error.code, content_type="application/json")
