"""Losses in figures: per day, member or way in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from scrm.acquisition.models import ChannelCode
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.losses.models import Loss
from scrm.losses.queries.losses import local_day, matching, stay_days
from scrm.staff.models import Staff

MOST_GROUPS = 1000
BUCKETS = (
    ("0", 0, 0),
    ("1-6", 1, 6),
    ("7-29", 7, 29),
    ("30-89", 30, 89),
    ("90-364", 90, 364),
    ("365+", 365, None),
)
"""Name, first and last day of stay."""


def loss_summary(scope: Scope, filters: dict[str, Any]) -> dict[str, Any]:
    """Totals, and the same figures by ``group_by`` (``day``, ``staff`` or ``channel``).

    :param filters: ``group_by`` and those of :func:`~scrm.losses.queries.losses.matching`
    :returns: ``total`` and ``groups``; days in order, others by number of losses, at most MOST_GROUPS of them
    """
    clauses = matching(scope, filters)
    total = session().execute(select(*_figures()).where(*clauses)).mappings().one()
    grouped = _grouped(filters.get("group_by", "day")).where(*clauses).limit(MOST_GROUPS)
    groups = [_shaped(row) for row in session().execute(grouped).mappings()]
    return {"total": _shaped(total), "groups": groups}


def _grouped(by: str) -> Select[Any]:
    if by == "staff":
        statement = select(Loss.staff_id, Staff.userid, Staff.name.label("staff_name"), *_figures())
        statement = statement.join(Staff, Staff.id == Loss.staff_id)
        return statement.group_by(Loss.staff_id, Staff.id).order_by(func.count().desc(), Loss.staff_id)
    if by == "channel":
        code = ChannelCode
        statement = select(
            Loss.state, code.id.label("channel_code_id"), code.name.label("channel_name"), *_figures()
        ).outerjoin(code, code.state == Loss.state)
        return statement.group_by(Loss.state, code.id).order_by(func.count().desc(), Loss.state)
    day = local_day(Loss.lost_at).label("day")
    return select(day, *_figures()).group_by(day).order_by(day)


def _figures() -> list[ColumnElement[Any]]:
    stay = Loss.lost_at - Loss.added_at
    counted = {
        "by_customer": Loss.lost_by == "customer",
        "by_staff": Loss.lost_by == "staff",
        "found": Loss.found,
        "returned": Loss.returned_at.is_not(None),
        "last_relations": Loss.others == 0,
        "within_24_hours": stay <= timedelta(hours=24),
        "within_7_days": stay <= timedelta(days=7),
        "stay_unknown": Loss.added_at.is_(None),
    }
    figures: list[ColumnElement[Any]] = [func.count().label("losses")]
    figures += [func.count().filter(clause).label(name) for name, clause in counted.items()]
    for name, first, last in BUCKETS:
        days = stay_days()
        clause = days >= first if last is None else days.between(first, last)
        figures.append(func.count().filter(clause).label(f"stay {name}"))
    return figures


def _shaped(row: Any) -> dict[str, Any]:
    figures = {name: value for name, value in row.items() if not name.startswith("stay ")}
    stays = {name: row[f"stay {name}"] for name, _, _ in BUCKETS}
    rate = round(row["returned"] / row["losses"], 4) if row["losses"] else None
    return {**figures, "return_rate": rate, "stay_days": stays}
