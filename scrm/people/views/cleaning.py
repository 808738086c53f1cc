"""Cleaning runs in the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Actor, Permission, current_actor, needs
from scrm.people.models import CleaningItem, CleaningRun, CleaningState
from scrm.people.queries import quality
from scrm.people.schemas.quality import CleaningItemOut, CleaningRunOut
from scrm.people.service import cleaning
from scrm.people.service.values import hidden_fields

blueprint = api_blueprint("cleaning runs", "资料清理 cleaning runs")


@blueprint.route("/people/cleaning-runs")
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(CleaningRunOut))
def list_cleaning_runs(query: dict[str, Any]) -> Any:
    """Cleaning runs, newest first; like everything about them for keys without a data scope."""
    _unlimited()
    return paginate(select(CleaningRun), CleaningRun.id, query)


@blueprint.route("/people/cleaning-runs", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@idempotent
@blueprint.response(201, CleaningRunOut)
def start_cleaning_run() -> CleaningRun:
    """Look for values that are not right by today's rules; nothing is changed before it is applied."""
    return cleaning.start_cleaning(_unlimited().name)


@blueprint.route("/people/cleaning-runs/<int:run_id>")
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(200, CleaningRunOut)
def show_cleaning_run(run_id: int) -> dict[str, Any]:
    """One run, with the number of values of each problem."""
    _unlimited()
    run = quality.run_by_id(run_id)
    names = ("id", "state", "looked_at", "by", "created_at", "finished_at")
    return {**{name: getattr(run, name) for name in names}, "problems": quality.problem_counts(run_id)}


@blueprint.route("/people/cleaning-runs/<int:run_id>/items")
@needs(Permission.PEOPLE_MERGE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(CleaningItemOut))
def list_cleaning_items(query: dict[str, Any], run_id: int) -> Any:
    """The preview, value by value; values of fields that this key may not see are ``***``."""
    actor = _unlimited()
    quality.run_by_id(run_id)
    return paginate(
        quality.item_list(run_id, hidden_fields(actor)), CleaningItem.value_id, query, descending=False
    )


def _move(run_id: int, to: CleaningState) -> CleaningRun:
    _unlimited()
    with transaction():
        return cleaning.move_run(run_id, to)


@blueprint.route("/people/cleaning-runs/<int:run_id>/apply", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(202, CleaningRunOut)
def apply_cleaning_run(run_id: int) -> CleaningRun:
    """Repair what the preview shows."""
    return _move(run_id, CleaningState.APPLYING)


@blueprint.route("/people/cleaning-runs/<int:run_id>/cancel", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(200, CleaningRunOut)
def cancel_cleaning_run(run_id: int) -> CleaningRun:
    """Leave everything as it is."""
    return _move(run_id, CleaningState.CANCELLED)


@blueprint.route("/people/cleaning-runs/<int:run_id>/undo", methods=["POST"])
@needs(Permission.PEOPLE_MERGE)
@blueprint.response(202, CleaningRunOut)
def undo_cleaning_run(run_id: int) -> CleaningRun:
    """Put back every value as it was."""
    return _move(run_id, CleaningState.UNDOING)


def _unlimited() -> Actor:
    """Who is asking; raises Forbidden for a key that sees some customers only."""
    (actor := current_actor()).require_everyone("a cleaning run looks at")
    return actor
