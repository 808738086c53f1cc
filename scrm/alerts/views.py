"""Alerts in the API: what members are and were told."""

from __future__ import annotations

from typing import Any

from scrm.alerts import queries
from scrm.alerts.models import AlertEntry
from scrm.alerts.schemas import AlertOut, AlertQuery
from scrm.kernel.http import api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs

blueprint = api_blueprint("alerts", "提醒 alerts to members of staff")


@blueprint.route("/alerts")
@needs(Permission.ALERTS_READ)
@blueprint.arguments(AlertQuery, location="query")
@blueprint.response(200, page_schema(AlertOut))
def list_alerts(query: dict[str, Any]) -> dict[str, Any]:
    """List alerts, newest first; those of state ``silenced`` with reason ``no receiver`` reached nobody."""
    return paginate(queries.alert_list(current_actor().scope, query), AlertEntry.id, query)
