"""Reading alerts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select, text

from config.settings import SettingsError
from scrm.alerts.models import AlertEntry
from scrm.alerts.service import GAP, READY, quiet
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from scrm.staff.models import Staff


def alert_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Alerts with who receives them; a limited scope sees those to its own staff.

    :param filters: ``kind``, ``state``, ``receiver_id``, ``urgent``, ``since`` and ``until`` (of ``created_at``)
    """
    entry = AlertEntry
    statement = select(
        *entry.__table__.columns, Staff.userid.label("receiver_userid"), Staff.name.label("receiver_name")
    ).outerjoin(Staff, Staff.id == entry.receiver_id)
    for name in ("kind", "state", "receiver_id", "urgent"):
        if (value := filters.get(name)) is not None:
            statement = statement.where(getattr(entry, name) == value)
    if since := filters.get("since"):
        statement = statement.where(entry.created_at >= since)
    if until := filters.get("until"):
        statement = statement.where(entry.created_at < until)
    return statement if scope.everyone else statement.where(entry.receiver_id.in_(scope.staff_ids))


def messages_due() -> bool:
    """Whether somebody is to be told something now, and an app may do so."""
    if not can_tell():
        return False
    now = utcnow()
    silent = quiet().holds(now, settings().corp.zone)
    values = {"now": now, "silent": silent, "after": now - GAP}
    return bool(session().scalar(_DUE, values))


_DUE = text(f"SELECT EXISTS ({READY})")


def can_tell() -> bool:
    """Whether an app may write to members."""
    try:
        settings().app_for("message")
    except SettingsError:
        return False
    return True


def state_counts() -> dict[str, int]:
    """How many alerts there are by state."""
    entry = AlertEntry
    return dict(session().execute(select(entry.state, func.count()).group_by(entry.state)).tuples().all())
