"""Reading losses and alarms. Everything takes a Scope: a limited one sees the losses of its own staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Date, Select, cast, func, select, tuple_

from scrm.acquisition.models import ChannelCode
from scrm.customers.models import Customer, Follow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.permissions import Scope
from scrm.kernel.schemas import LIMIT_DEFAULT
from scrm.kernel.settings import settings
from scrm.kernel.storable import BIGGEST
from scrm.losses.models import Loss, LossAlarm
from scrm.staff.models import Staff

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def loss_page(scope: Scope, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of losses, newest first.

    :param filters: those of :func:`matching`, ``cursor`` and ``limit``
    :raises InvalidInput: a cursor that is not ours
    :raises NotFound: an ``alarm_id`` that is none, or outside the scope
    """
    limit = filters.get("limit", LIMIT_DEFAULT)
    statement = _columns().where(*matching(scope, filters))
    if cursor := filters.get("cursor"):
        statement = statement.where(tuple_(Loss.lost_at, Loss.id) < tuple_(*_position(cursor)))
    ordered = statement.order_by(Loss.lost_at.desc(), Loss.id.desc()).limit(limit + 1)
    rows = [dict(row) for row in session().execute(ordered).mappings()]
    last = rows[limit - 1] if len(rows) > limit else None
    items = rows[:limit]
    return {
        "items": items,
        "next_cursor": last and f"{(last['lost_at'] - EPOCH) // MICROSECOND}.{last['id']}",
    }


def _position(cursor: str) -> tuple[datetime, int]:
    microseconds, _, loss_id = cursor.partition(".")
    try:
        position = EPOCH + int(microseconds) * MICROSECOND, int(loss_id)
    except (ValueError, OverflowError):
        position = None
    if position is None or not 0 <= position[1] <= BIGGEST:
        raise InvalidInput.field("cursor", "is not one of ours; give next_cursor of the page before")
    return position


def _columns() -> Select[Any]:
    return (
        select(
            *Loss.__table__.columns, Customer.external_userid, Customer.name.label("customer_name"), Staff.userid,
            Staff.name.label("staff_name"), Follow.id.label("follow_id"), ChannelCode.id.label("channel_code_id"),
            ChannelCode.name.label("channel_name"), stay_seconds().label("stay_seconds"),
            stay_days().label("stay_days"),
        )
        .join(Customer, Customer.id == Loss.customer_id)
        .join(Staff, Staff.id == Loss.staff_id)
        .outerjoin(Follow, (Follow.customer_id == Loss.customer_id) & (Follow.staff_id == Loss.staff_id))
        .outerjoin(ChannelCode, ChannelCode.state == Loss.state)
    )  # fmt: skip


def stay_seconds() -> ColumnElement[int]:
    """How long the customer had been there; empty when nobody knows since when."""
    seconds: ColumnElement[int] = func.extract("epoch", Loss.lost_at - Loss.added_at)
    return seconds


def stay_days() -> ColumnElement[int]:
    """How many midnights of the corp's zone lie in the stay."""
    days: ColumnElement[int] = local_day(Loss.lost_at) - local_day(Loss.added_at)
    return days


def local_day(moment: Any) -> ColumnElement[Any]:
    """The date of ``moment`` in the corp's zone."""
    return cast(func.timezone(settings().corp.timezone, moment), Date)


def matching(scope: Scope, filters: dict[str, Any]) -> list[ColumnElement[bool]]:
    """The clauses that limit a select of losses.

    :param filters: ``staff_id``, ``customer_id``, ``lost_by``, ``since`` and ``until`` (of ``lost_at``),
        ``channel_code_id``, ``state``, ``returned``, ``last_relation``, ``found``, ``alarm_id``
    """
    given = {name: value for name, value in filters.items() if value is not None}
    clauses = [clause(given[name]) for name, clause in CLAUSES.items() if name in given]
    if not scope.everyone:
        clauses.append(Loss.staff_id.in_(scope.staff_ids))
    if "alarm_id" in given:
        clauses += _of_alarm(alarm_by_id(scope, given["alarm_id"]))
    return clauses


def _through(code_id: int) -> ColumnElement[bool]:
    return Loss.state == select(ChannelCode.state).where(ChannelCode.id == code_id).scalar_subquery()


CLAUSES: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    **{name: getattr(Loss, name).__eq__ for name in ("staff_id", "customer_id", "lost_by", "state", "found")},
    "since": lambda moment: Loss.lost_at >= moment,
    "until": lambda moment: Loss.lost_at < moment,
    "channel_code_id": _through,
    "returned": lambda yes: Loss.returned_at.is_not(None) if yes else Loss.returned_at.is_(None),
    "last_relation": lambda yes: Loss.others == 0 if yes else Loss.others > 0,
}


def _of_alarm(alarm: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [
        Loss.staff_id == alarm["staff_id"],
        Loss.lost_by == "staff",
        Loss.found.is_(False),
        Loss.lost_at.between(alarm["first_at"], alarm["last_at"]),
    ]


def alarm_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Alarms with the member's name.

    :param filters: ``staff_id``, ``acknowledged``, ``withdrawn`` (else only standing ones), ``since``, ``until``
    """
    statement = _alarms(scope)
    withdrawn = bool(filters.get("withdrawn"))
    statement = statement.where(
        LossAlarm.withdrawn_at.is_not(None) if withdrawn else LossAlarm.withdrawn_at.is_(None)
    )
    if (staff_id := filters.get("staff_id")) is not None:
        statement = statement.where(LossAlarm.staff_id == staff_id)
    if (acknowledged := filters.get("acknowledged")) is not None:
        seen = LossAlarm.acknowledged_at
        statement = statement.where(seen.is_not(None) if acknowledged else seen.is_(None))
    if since := filters.get("since"):
        statement = statement.where(LossAlarm.last_at >= since)
    if until := filters.get("until"):
        statement = statement.where(LossAlarm.first_at < until)
    return statement


def alarm_by_id(scope: Scope, alarm_id: int) -> dict[str, Any]:
    """One alarm; raises NotFound, also for one outside the scope."""
    found = session().execute(_alarms(scope).where(LossAlarm.id == alarm_id)).mappings().one_or_none()
    if found is None:
        raise NotFound(f"there is no loss alarm {alarm_id}, or it lies outside this key's data scope")
    return dict(found)


def _alarms(scope: Scope) -> Select[Any]:
    statement = select(*LossAlarm.__table__.columns, Staff.userid, Staff.name.label("staff_name")).join(
        Staff, Staff.id == LossAlarm.staff_id
    )
    return statement if scope.everyone else statement.where(LossAlarm.staff_id.in_(scope.staff_ids))
