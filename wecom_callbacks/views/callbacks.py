"""Where WeCom calls: ``GET`` for the echo test, ``POST`` for callbacks. Open to everybody; the signature is the guard."""

from __future__ import annotations

import time
from typing import Any, Final, cast

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from scrm.kernel import crashpoints, metrics
from scrm.kernel.permissions import public
from scrm.kernel.settings import EXTENSION as SETTINGS
from wecom_callbacks.committer import Committer, NotStored
from wecom_callbacks.intake import Door, parse_query
from wecom_callbacks.refusals import Refusal, Refused
from wecom_callbacks.waker import Waker

log = structlog.get_logger(__name__)
blueprint = Blueprint("callbacks", __name__, url_prefix="/wecom/callbacks")

EXTENSION: Final = "wecom_callbacks"
TEXT: Final = "text/plain; charset=utf-8"


class Intake:
    """What one process keeps for taking callbacks: the apps' keys and the committer."""

    def __init__(self, app: Flask) -> None:
        settings = app.extensions[SETTINGS]
        self.door = Door(settings)
        self.waker = Waker(lambda lanes: _wake(app, lanes))
        url = app.config["SQLALCHEMY_DATABASE_URI"].set(drivername="postgresql")
        self.committer = Committer(
            url.render_as_string(hide_password=False),
            settings.callbacks.commit_timeout_seconds,
            self.waker.note,
        )
        self.ack_seconds = {name: metrics.ACK_SECONDS.labels(name) for name in settings.apps}


def _wake(app: Flask, lanes: set[str]) -> None:
    pass


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    app.extensions[EXTENSION] = Intake(app)


def intake() -> Intake:
    """The running app's intake."""
    made: Intake = current_app.extensions[EXTENSION]
    return made


@blueprint.get("/<name>")
@public
def echo(name: str) -> Response:
    """Answer the echo of WeCom's URL verification as bare text."""
    try:
        answer = intake().door.echo(name, parse_query(request.environ.get("QUERY_STRING", "")))
    except Refused as refused:
        return _refuse(name, refused.refusal)
    return Response(answer, content_type=TEXT)


@blueprint.post("/<name>")
@public
def receive(name: str) -> Response:
    """Take a callback: 200 only when its row is durable."""
    started = time.perf_counter()
    ours = intake()
    environ = request.environ
    try:
        body = _body(environ, ours.door.limits.max_body)
        row = ours.door.open(name, parse_query(environ.get("QUERY_STRING", "")), body)
        ours.committer.store(row)
    except Refused as refused:
        return _refuse(name, refused.refusal)
    except NotStored:
        return _refuse(name, Refusal.STORE_AWAY)
    crashpoints.reached("callback_committed")
    ours.ack_seconds[name].observe(time.perf_counter() - started)
    return Response("success", content_type=TEXT)


def _body(environ: dict[str, Any], limit: int) -> bytes:
    """The request's body; one that says it is over the limit is not read, one without length only up to it."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length and (not length.isdigit() or int(length) > limit):
        raise Refused(Refusal.TOO_LARGE)
    body: bytes = environ["wsgi.input"].read(int(length) if length else limit + 1)
    return body


def _refuse(name: str, refusal: Refusal) -> Response:
    known = name if refusal is not Refusal.UNKNOWN_APP else "unknown"
    metrics.CALLBACKS_REFUSED.labels(known, refusal.name.lower()).inc()
    log.warning("callback refused", app=known, reason=refusal.name.lower())
    return Response(f"{refusal.line}\n", refusal.status, content_type=TEXT)
