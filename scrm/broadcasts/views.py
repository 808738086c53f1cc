"""Broadcasts in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scrm.broadcasts.models import Broadcast
from scrm.broadcasts.queries import broadcasts as queries
from scrm.broadcasts.queries.visibility import broadcast_for, broadcast_shown
from scrm.broadcasts.schemas import (
    BroadcastIn,
    BroadcastItemOut,
    BroadcastOut,
    BroadcastPatch,
    BroadcastQuery,
    PlanOut,
    RemindedOut,
    ResultsOut,
    ResultsQuery,
    ScheduleIn,
)
from scrm.broadcasts.service import drafts, states, stopping
from scrm.broadcasts.service.reminding import Reminded, remind_senders
from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, idempotent, page_schema
from scrm.kernel.permissions import Permission, Scope, current_actor, needs
from scrm.media.service.showing import check_shown
from tags.rules.queries.veiling import refuse_unreadable

blueprint = api_blueprint("broadcasts", "群发 broadcasts to customers and groups")


@blueprint.route("/broadcasts")
@needs(Permission.BROADCASTS_READ)
@blueprint.arguments(BroadcastQuery, location="query")
@blueprint.response(200, page_schema(BroadcastItemOut))
def list_broadcasts(query: dict[str, Any]) -> dict[str, Any]:
    """List broadcasts, newest first."""
    return queries.broadcast_page(current_actor().scope, query)


@blueprint.route("/broadcasts", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@idempotent
@blueprint.arguments(BroadcastIn)
@blueprint.response(201, BroadcastOut)
def create_broadcast(data: dict[str, Any]) -> dict[str, Any]:
    """Make a draft, or with ``send_at`` a scheduled broadcast."""
    _refuse_unreadable(data)
    actor = current_actor()
    return broadcast_shown(actor, drafts.create_broadcast(data, actor))


@blueprint.route("/broadcasts/<int:broadcast_id>")
@needs(Permission.BROADCASTS_READ)
@blueprint.response(200, BroadcastOut)
def get_broadcast(broadcast_id: int) -> dict[str, Any]:
    """Show one broadcast."""
    actor = current_actor()
    return broadcast_shown(actor, broadcast_for(broadcast_id, actor.scope))


@blueprint.route("/broadcasts/<int:broadcast_id>", methods=["PATCH"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.arguments(BroadcastPatch)
@blueprint.response(200, BroadcastOut)
def edit_broadcast(data: dict[str, Any], broadcast_id: int) -> dict[str, Any]:
    """Change a broadcast that has not started."""
    with transaction():
        _refuse_unreadable(data)
        actor = current_actor()
        return broadcast_shown(actor, drafts.edit_broadcast(broadcast_id, data, actor.scope))


@blueprint.route("/broadcasts/<int:broadcast_id>", methods=["DELETE"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(204)
def delete_broadcast(broadcast_id: int) -> None:
    """Forget a broadcast that has not started."""
    with transaction():
        drafts.delete_broadcast(broadcast_id, current_actor().scope)


@blueprint.route("/broadcasts/<int:broadcast_id>/plan")
@needs(Permission.BROADCASTS_READ)
@blueprint.response(200, PlanOut)
def get_plan(broadcast_id: int) -> dict[str, Any]:
    """Say who would receive it from whom, in how many tasks, and who not and why; changes nothing."""
    return queries.broadcast_plan(broadcast_id, current_actor().scope)


@blueprint.route("/broadcasts/<int:broadcast_id>/results")
@needs(Permission.BROADCASTS_READ)
@blueprint.arguments(ResultsQuery, location="query")
@blueprint.response(200, ResultsOut)
def get_results(query: dict[str, Any], broadcast_id: int) -> dict[str, Any]:
    """Totals by state, senders with confirmed or not, and the recipients page by page."""
    return queries.broadcast_results(broadcast_id, current_actor().scope, query)


@blueprint.route("/broadcasts/<int:broadcast_id>/schedule", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.arguments(ScheduleIn)
@blueprint.response(200, BroadcastOut)
def schedule_broadcast(data: dict[str, Any], broadcast_id: int) -> dict[str, Any]:
    """Give it the time at which it starts by itself."""
    with transaction():
        actor = current_actor()
        return broadcast_shown(actor, drafts.schedule_broadcast(broadcast_id, data["send_at"], actor.scope))


@blueprint.route("/broadcasts/<int:broadcast_id>/start", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(200, BroadcastOut)
def start_broadcast(broadcast_id: int) -> dict[str, Any]:
    """Start now."""
    return _changed(states.start_broadcast, broadcast_id)


@blueprint.route("/broadcasts/<int:broadcast_id>/pause", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(200, BroadcastOut)
def pause_broadcast(broadcast_id: int) -> dict[str, Any]:
    """Hand no further task to WeCom."""
    return _changed(stopping.pause_broadcast, broadcast_id)


@blueprint.route("/broadcasts/<int:broadcast_id>/resume", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(200, BroadcastOut)
def resume_broadcast(broadcast_id: int) -> dict[str, Any]:
    """Go on after a pause."""
    return _changed(states.resume_broadcast, broadcast_id)


@blueprint.route("/broadcasts/<int:broadcast_id>/cancel", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(200, BroadcastOut)
def cancel_broadcast(broadcast_id: int) -> dict[str, Any]:
    """Stop for good, here and at WeCom; what members sent already stays sent and is still counted."""
    return _changed(stopping.cancel_broadcast, broadcast_id)


@blueprint.route("/broadcasts/<int:broadcast_id>/remind", methods=["POST"])
@needs(Permission.BROADCASTS_SEND)
@blueprint.response(200, RemindedOut)
def remind(broadcast_id: int) -> Reminded:
    """Remind the members who have not confirmed; WeCom allows 3 reminders per task in 24 hours."""
    with transaction():
        return remind_senders(broadcast_id, current_actor().scope)


def _refuse_unreadable(data: dict[str, Any]) -> None:
    """Raise Forbidden when the audience's condition asks about what this key may not read; nor are hidden files sent."""
    check_shown(current_actor(), data.get("attachments") or [])
    if condition := (data.get("audience") or {}).get("condition"):
        refuse_unreadable(current_actor(), condition, "audience.condition")


def _changed(change: Callable[[int, Scope], Broadcast], broadcast_id: int) -> dict[str, Any]:
    """The broadcast after the change and everything that reacts to it."""
    actor = current_actor()
    with transaction():
        change(broadcast_id, actor.scope)
    return broadcast_shown(actor, broadcast_for(broadcast_id, actor.scope))
