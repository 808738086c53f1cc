"""Slots of weekdays and of special dates, with what holds in them."""

from __future__ import annotations

from datetime import date
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import ContainsOnly, Length, Range, Regexp

from scrm.kernel.schemas import Schema
from scrm.kernel.storable import YEARS

STAFF_MAX = 100  # members of a contact way (41041)
SLOTS_MAX = 50
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
CLOCK_END = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"


def staff_list(least: int = 0, **kwargs: Any) -> fields.List[int]:
    """A list of members, as many as a contact way takes."""
    problem = f"must be {least} to {STAFF_MAX} members of staff"
    return fields.List(fields.Integer(), validate=Length(least, STAFF_MAX, error=problem), **kwargs)


def department_list(**kwargs: Any) -> fields.List[int]:
    """A list of departments, each with everything below it."""
    return fields.List(fields.Integer(), validate=Length(max=STAFF_MAX), **kwargs)


def slot_list(schema: type[Schema], **kwargs: Any) -> fields.List[Any]:
    """A list of slots."""
    problem = f"must be at most {SLOTS_MAX} slots"
    return fields.List(fields.Nested(schema), validate=Length(max=SLOTS_MAX, error=problem), **kwargs)


def _weekdays() -> fields.List[int]:
    return fields.List(
        fields.Integer(),
        required=True,
        validate=[Length(1, 7), ContainsOnly(range(1, 8), error="must be days 1 (Monday) to 7 (Sunday)")],
    )


def _date(value: str) -> None:
    try:
        year = date.fromisoformat(value).year
    except ValueError:
        raise ValidationError("must be a date such as 2026-10-01") from None
    if year not in YEARS:
        raise ValidationError(f"must lie between the years {YEARS.start} and {YEARS.stop - 1}")


class SlotTimesIn(Schema):
    """From when until when a clock on the wall of the corp's zone shows."""

    begin = fields.String(
        required=True, validate=Regexp(CLOCK, error="must be a time such as 09:00, 00:00 to 23:59")
    )
    end = fields.String(
        required=True,
        validate=Regexp(CLOCK_END, error="must be a time such as 18:00, 00:00 to 24:00"),
        metadata={"description": "not after begin: on the next day"},
    )


class WeekSlotIn(SlotTimesIn):
    """On these weekdays; one that runs over midnight belongs to the day on which it begins."""

    weekdays = _weekdays()


class RosterSlotIn(WeekSlotIn):
    """Who serves on weekdays."""

    staff_ids = staff_list(load_default=list)
    department_ids = department_list(load_default=list)


class RosterDateIn(SlotTimesIn):
    """Who serves on special dates."""

    first = fields.String(required=True, validate=_date, metadata={"format": "date"})
    last = fields.String(required=True, validate=_date, metadata={"format": "date"})
    staff_ids = staff_list(load_default=list)
    department_ids = department_list(load_default=list)


class WelcomeSlotIn(WeekSlotIn):
    """Which welcome is given on weekdays."""

    welcome_id = fields.Integer(required=True)


class ChannelCodeCapIn(Schema):
    """How many a member may get a day, in place of ``daily_cap``."""

    staff_id = fields.Integer(required=True)
    cap = fields.Integer(required=True, validate=Range(1, 100_000))
