"""Pages and probes: overview, sign-in, health, readiness, metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request
from sqlalchemy import text
from werkzeug.wrappers import Response as BaseResponse

from scrm.kernel.clock import in_zone
from scrm.kernel.db import session, transaction
from scrm.kernel.errors import Unauthorized
from scrm.kernel.permissions import Permission, needs, public
from scrm.kernel.redis import redis
from scrm.kernel.schema import schema_revisions
from scrm.kernel.settings import settings
from scrm.web.collector import exposition
from scrm.web.queries import overview
from scrm.web.signin import cookie_actor, sign_in

blueprint = Blueprint("web", __name__, template_folder="templates")
authenticator = cookie_actor


@blueprint.app_template_filter("corp_time")
def corp_time(moment: datetime) -> str:
    """A moment as people of the corp read it."""
    return in_zone(moment, settings().corp.zone).strftime("%Y-%m-%d %H:%M:%S")


@blueprint.get("/healthz")
@public
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@public
def readyz() -> Response:
    """The stores answer and the schema is the program's; 503 with the reason otherwise."""
    session().execute(text("SELECT 1"))
    redis().ping()
    present, newest = schema_revisions()
    if present != newest:
        return make_response({"status": "migrate", "detail": f"schema is {present}, run `scrm migrate`"}, 503)
    return make_response({"status": "ok"})


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Prometheus metrics; figures only, no personal data."""
    return Response(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


@blueprint.get("/signin")
@public
def signin_page() -> str:
    """The page behind a sign-in link: it posts the token that stands behind the #."""
    return render_template("signin.html")


@blueprint.post("/signin")
@public
def signin() -> BaseResponse:
    """Use up the token and go to the overview."""
    with transaction():
        sign_in(request.form.get("token", ""))
    return redirect("/")


@blueprint.get("/overview.json")
@needs(Permission.OVERVIEW_READ)
def overview_json() -> dict[str, Any]:
    """The overview's figures for the page and for scripts."""
    return overview()


@blueprint.get("/")
@public
def overview_page() -> BaseResponse:
    """The overview; whoever is not signed in is told how."""
    if cookie_actor() is None:
        return make_response(render_template("signin.html"), Unauthorized.status)
    return make_response(render_template("overview.html", figures=overview()))
