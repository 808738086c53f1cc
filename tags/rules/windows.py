"""Windows of time in conditions: the last days or hours, or from one day to another.

A rolling window reaches back whole hours from now (a day is 24 of them) and has no upper edge: what a wrong clock dated
ahead counts as well. A fixed one holds both its days, in the corp's zone. A window without an end is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Range
from sqlalchemy import ColumnElement, and_

from scrm.kernel.schemas import Schema
from scrm.kernel.settings import settings

MAX_DAYS = 3650
MAX_HOURS = 24 * 366
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
DAY_PATTERN = r"^(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
DAY_SCHEMA = {"type": "string", "format": "date", "pattern": DAY_PATTERN}
Window = Mapping[str, Any]


class DayField(fields.Date):
    """A day as ``YYYY-MM-DD`` of the years 1900 to 2199, and no other way of writing one."""

    json_schema = DAY_SCHEMA

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(DAY_PATTERN[1:-1], value):
            raise ValidationError("must be a day such as 2026-01-31, of the years 1900 to 2199")
        return super()._deserialize(value, attr, data, **kwargs)


class WindowSchema(Schema):
    """One of: ``last_days``, ``last_hours``, or ``from`` and ``to`` together."""

    last_days = fields.Integer(strict=True, validate=Range(1, MAX_DAYS))
    last_hours = fields.Integer(strict=True, validate=Range(1, MAX_HOURS))
    begin = DayField(data_key="from")
    end = DayField(data_key="to")

    @validates_schema(skip_on_field_errors=True)
    def _has_an_end(self, data: dict[str, Any], **kwargs: Any) -> None:
        if set(data) not in ({"last_days"}, {"last_hours"}, {"begin", "end"}):
            raise ValidationError("must be one of last_days, last_hours, or from and to together")
        if "begin" in data and data["begin"] > data["end"]:
            raise ValidationError("must not be before from", "to")


class WindowField(fields.Nested):
    """A window as an argument."""

    json_schema = {  # noqa: RUF012  # read only
        "anyOf": [
            {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
            for properties in (
                {"last_days": {"type": "integer", "minimum": 1, "maximum": MAX_DAYS}},
                {"last_hours": {"type": "integer", "minimum": 1, "maximum": MAX_HOURS}},
                {"from": DAY_SCHEMA, "to": DAY_SCHEMA},
            )
        ]
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(WindowSchema, **kwargs)


def midnight(day: date) -> datetime:
    """The begin of a day in the corp's zone."""
    return datetime.combine(day, time(), settings().corp.zone)


def today(now: datetime) -> date:
    """The day it is in the corp's zone."""
    return now.astimezone(settings().corp.zone).date()


def edges(window: Window | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """From when on (a fixed window) or after when (a rolling one), and before when; None: there is no such edge."""
    if window is None:
        return None, None
    if "begin" in window:
        return midnight(window["begin"]), midnight(window["end"] + timedelta(days=1))
    return now - span(window), None


def within(moment: Any, window: Window, now: datetime) -> ColumnElement[bool]:
    """``moment`` (a column) lies in the window."""
    begin, end = edges(window, now)
    if end is not None:
        return and_(moment >= begin, moment < end)
    inside: ColumnElement[bool] = moment > begin
    return inside


def reach(moment: Any, window: Window | None, after: timedelta, now: datetime) -> list[ColumnElement[bool]]:
    """What is true of every ``moment`` that lies at most ``after`` later than one in the window.

    PostgreSQL does not conclude it by itself; told, it looks at the months of the window only.
    """
    begin, end = edges(window, now)
    if begin is None:
        return []
    return [moment > begin] if end is None else [moment >= begin, moment < end + after]


def leaving(
    moment: Any, window: Window | None, since: datetime, until: datetime
) -> ColumnElement[bool] | None:
    """``moment`` falls out of a rolling window between two times; None: time alone changes nothing."""
    if window is None or "begin" in window:
        return None
    return and_(moment > since - span(window), moment <= until - span(window))


def span(window: Window) -> timedelta:
    """How far a rolling window reaches back."""
    return timedelta(days=window.get("last_days", 0), hours=window.get("last_hours", 0))


def window_words(window: Window | None, language: str) -> str:
    """``最近7天内`` or ``within the last 7 days``; empty without a window."""
    if window is None:
        return ""
    if "begin" in window:
        begin, end = window["begin"], window["end"]
        return f"{begin}至{end}" if language == "zh" else f"from {begin} to {end}"
    days, hours = window.get("last_days"), window.get("last_hours")
    if language == "zh":
        return f"最近{days}天内" if days else f"最近{hours}小时内"
    count, unit = (days, "day") if days else (hours, "hour")
    return f"within the last {unit}" if count == 1 else f"within the last {count} {unit}s"
