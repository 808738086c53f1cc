"""Where WeCom calls: the echo test is a view, callbacks are taken by the gate in front of Flask."""

from __future__ import annotations

from typing import Final, cast

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from sqlalchemy.engine import URL

from scrm.kernel.permissions import public
from scrm.kernel.settings import EXTENSION as SETTINGS
from wecom_callbacks.committer import Committer
from wecom_callbacks.gate import PREFIX, TEXT, CallbackGate, note_refusal
from wecom_callbacks.intake import Door, parse_query
from wecom_callbacks.jobs import DRAINS
from wecom_callbacks.models import Lane
from wecom_callbacks.refusals import Refused
from wecom_callbacks.waker import Waker

blueprint = Blueprint("callbacks", __name__, url_prefix=PREFIX)
EXTENSION: Final = "wecom_callbacks"


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    """Put the gate in front of the app; threads and connections start with the first callback."""
    app = cast("Flask", state.app)
    settings = app.extensions[SETTINGS]
    door = Door(settings)
    waker = Waker(lambda lanes: _wake(app, lanes))
    committer = Committer(_conninfo(app), settings.callbacks.commit_timeout_seconds, waker.note)
    app.extensions[EXTENSION] = door
    app.wsgi_app = CallbackGate(app.wsgi_app, door, committer)  # type: ignore[method-assign]  # Flask's documented way


def _conninfo(app: Flask) -> str:
    url: URL = app.config["SQLALCHEMY_DATABASE_URI"]
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _wake(app: Flask, lanes: set[str]) -> None:
    """Push one wake-up a lane, the urgent one first."""
    with app.app_context():
        for lane in Lane:
            if lane in lanes:
                DRAINS[lane].wake()


@blueprint.get("/<name>")
@public
def echo(name: str) -> Response:
    """Answer the echo of WeCom's URL verification as bare text."""
    door: Door = current_app.extensions[EXTENSION]
    try:
        answer = door.echo(name, parse_query(request.environ.get("QUERY_STRING", "")))
    except Refused as refused:
        return Response(note_refusal(name, refused.refusal), refused.refusal.status, content_type=TEXT)
    return Response(answer, content_type=TEXT)
