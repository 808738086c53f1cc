"""Losses and mass-delete alarms in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.losses.models import LossAlarm
from scrm.losses.queries import losses, summary
from scrm.losses.schemas import (
    AcknowledgeIn,
    LossAlarmOut,
    LossAlarmQuery,
    LossOut,
    LossQuery,
    LossSummaryOut,
    SummaryQuery,
)
from scrm.losses.service.alarms import acknowledge

blueprint = api_blueprint("losses", "流失 losses: customers who left or were deleted")


@blueprint.route("/losses")
@needs(Permission.LOSSES_READ)
@blueprint.arguments(LossQuery, location="query")
@blueprint.response(200, page_schema(LossOut))
def list_losses(query: dict[str, Any]) -> dict[str, Any]:
    """List losses, newest first."""
    return losses.loss_page(current_actor().scope, query)


@blueprint.route("/losses/summary")
@needs(Permission.LOSSES_READ)
@blueprint.arguments(SummaryQuery, location="query")
@blueprint.response(200, LossSummaryOut)
def summarize_losses(query: dict[str, Any]) -> dict[str, Any]:
    """Losses in figures, by day of the corp's zone, member or way in."""
    return summary.loss_summary(current_actor().scope, query)


@blueprint.route("/loss-alarms")
@needs(Permission.LOSSES_READ)
@blueprint.arguments(LossAlarmQuery, location="query")
@blueprint.response(200, page_schema(LossAlarmOut))
def list_loss_alarms(query: dict[str, Any]) -> dict[str, Any]:
    """List mass-delete alarms, newest first."""
    return paginate(losses.alarm_list(current_actor().scope, query), LossAlarm.id, query)


@blueprint.route("/loss-alarms/<int:alarm_id>")
@needs(Permission.LOSSES_READ)
@blueprint.response(200, LossAlarmOut)
def show_loss_alarm(alarm_id: int) -> dict[str, Any]:
    """One alarm; ``/losses?alarm_id=`` lists the customers concerned."""
    return losses.alarm_by_id(current_actor().scope, alarm_id)


@blueprint.route("/loss-alarms/<int:alarm_id>/acknowledge", methods=["POST"])
@needs(Permission.LOSSES_WRITE)
@blueprint.arguments(AcknowledgeIn)
@blueprint.response(200, LossAlarmOut)
def acknowledge_loss_alarm(data: dict[str, Any], alarm_id: int) -> dict[str, Any]:
    """Say that a person has looked into an alarm."""
    actor = current_actor()
    with transaction():
        acknowledge(actor.scope, alarm_id, actor.name, data["note"])
        return losses.alarm_by_id(actor.scope, alarm_id)
