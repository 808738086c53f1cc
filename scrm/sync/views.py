"""Syncs in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.errors import Forbidden
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Actor, Permission, current_actor, needs
from scrm.sync import queries
from scrm.sync.models import SyncRun
from scrm.sync.schemas import SyncReportOut, SyncRunIn, SyncRunOut
from scrm.sync.service import runs
from scrm.sync.service.runs import Wish

blueprint = api_blueprint("sync-runs", "同步 full syncs with WeCom")


@blueprint.route("/sync-runs")
@needs(Permission.SYNC_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(SyncRunOut))
def list_runs(query: dict[str, Any]) -> dict[str, Any]:
    """List runs, newest first."""
    return queries.run_page(query)


@blueprint.route("/sync-runs", methods=["POST"])
@needs(Permission.SYNC_WRITE)
@idempotent
@blueprint.arguments(SyncRunIn)
@blueprint.response(201, SyncRunOut)
def create_run(data: dict[str, Any]) -> SyncRun:
    """Begin a sync; 409 while another is at work, or, for a dry run, waits for a person."""
    return runs.start_run(Wish(by=_unlimited().name, **data))


@blueprint.route("/sync-runs/<int:run_id>")
@needs(Permission.SYNC_READ)
@blueprint.response(200, SyncReportOut)
def get_run(run_id: int) -> dict[str, Any]:
    """Show a run: counts by entity, what failed and what to do, drift, progress."""
    return queries.run_report(run_id, current_actor().scope)


@blueprint.route("/sync-runs/<int:run_id>/confirm", methods=["POST"])
@needs(Permission.SYNC_WRITE)
@blueprint.response(200, SyncRunOut)
def confirm_run(run_id: int) -> SyncRun:
    """Let a run that waits for a person end what it holds back."""
    with transaction():
        return runs.confirm_run(run_id, _unlimited().name)


@blueprint.route("/sync-runs/<int:run_id>/cancel", methods=["POST"])
@needs(Permission.SYNC_WRITE)
@blueprint.response(200, SyncRunOut)
def cancel_run(run_id: int) -> SyncRun:
    """Stop a run; what it wrote stays, what it would have ended stays too."""
    with transaction():
        return runs.cancel_run(run_id, _unlimited().name)


def _unlimited() -> Actor:
    """Who asks, if they may decide for the whole company."""
    actor = current_actor()
    if not actor.scope.everyone:
        raise Forbidden("a sync concerns the customers of all members; use a key without a data scope")
    return actor
