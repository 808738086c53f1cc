"""What may be asked of a value, by its type, and how it is asked in SQL.

Every operator but ``is_missing`` speaks about a value that is there: of a missing one it is false. So
``not_equals`` wants another value, while ``{"not": {"op": "equals"}}`` also holds without any. An empty text or list is
a missing value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Date,
    DateTime,
    Numeric,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    not_,
    or_,
)
from sqlalchemy.dialects.postgresql import JSONB

from scrm.kernel.settings import settings
from tags.rules.anniversaries import lunar_births, solar_marks
from tags.rules.windows import DAY_PATTERN, DAY_SCHEMA, FIRST_DAY, LAST_DAY, midnight, today

MAX_LENGTH = 500
MAX_VALUES = 200
MAX_NUMBER = 10**15
MAX_DAYS = 3650
CALENDARS = ("solar", "lunar")


class Kind(StrEnum):
    """The type of a value."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    CHOICE = "choice"
    LIST = "list"  # several texts: phones, choices
    FLAG = "flag"
    FILE = "file"


class Shape(StrEnum):
    """Which arguments an operator takes."""

    VALUE = "value"
    VALUES = "values"
    RANGE = "range"  # values: the low and the high one, both within
    DAYS = "days"
    ANNIVERSARY = "anniversary"  # days, calendar
    NOTHING = "nothing"


PRESENCE = {"is_present": Shape.NOTHING, "is_missing": Shape.NOTHING}
ONE = {"equals": Shape.VALUE, "not_equals": Shape.VALUE, "any_of": Shape.VALUES, "none_of": Shape.VALUES}
OPERATORS: dict[Kind, dict[str, Shape]] = {
    Kind.TEXT: {**ONE, "contains": Shape.VALUE, "starts_with": Shape.VALUE, **PRESENCE},
    Kind.NUMBER: {
        **ONE,
        **dict.fromkeys(("lt", "lte", "gt", "gte"), Shape.VALUE),
        "between": Shape.RANGE,
        **PRESENCE,
    },
    Kind.DATE: {
        **dict.fromkeys(("on", "before", "after"), Shape.VALUE),
        "between": Shape.RANGE,
        "last_days": Shape.DAYS,
        "next_days": Shape.DAYS,
        "anniversary": Shape.ANNIVERSARY,
        **PRESENCE,
    },
    Kind.CHOICE: {**ONE, **PRESENCE},
    Kind.LIST: {
        **dict.fromkeys(("any_of", "all_of", "none_of"), Shape.VALUES),
        "contains": Shape.VALUE,
        **PRESENCE,
    },
    Kind.FLAG: {"equals": Shape.VALUE, **PRESENCE},
    Kind.FILE: PRESENCE,
}
ARGUMENTS = {
    Shape.VALUE: {"value"}, Shape.VALUES: {"values"}, Shape.RANGE: {"values"}, Shape.DAYS: {"days"},
    Shape.ANNIVERSARY: {"days", "calendar"}, Shape.NOTHING: set(),
}  # fmt: skip
TIMED = {"last_days", "next_days", "anniversary"}  # operators whose answer the clock changes
NAMES = ("value", "values", "days", "calendar")


def problems(kind: Kind, args: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with ``op`` and its arguments for a value of this type: argument → what would be right."""
    shape = OPERATORS[kind].get(args["op"])
    if shape is None:
        return {"op": f"must be one of {', '.join(OPERATORS[kind])} for a {kind}"}
    given = {name for name in NAMES if args.get(name) is not None}
    if extra := given - ARGUMENTS[shape]:
        return {min(extra): f"does not go with {args['op']}"}
    if missing := ARGUMENTS[shape] - given - {"calendar"}:
        return {min(missing): f"is required by {args['op']}"}
    if shape is Shape.VALUE:
        return {"value": wrong} if (wrong := unfit(kind, args["value"])) else {}
    if shape in (Shape.VALUES, Shape.RANGE):
        return _problems_of_values(kind, shape, args["values"])
    return {}


def _problems_of_values(kind: Kind, shape: Shape, values: Sequence[Any]) -> dict[str, str]:
    for i, value in enumerate(values):
        if wrong := unfit(kind, value):
            return {f"values.{i}": wrong}
    if shape is Shape.RANGE and len(values) != 2:
        return {"values": "must be two: the lowest and the highest"}
    if shape is Shape.RANGE and values[0] > values[1]:
        return {"values": "must be the lower one first"}
    return {}


def unfit(kind: Kind, value: Any) -> str | None:
    """Why ``value`` is no value of this type; None when it is one."""
    if kind is Kind.NUMBER:
        return None if _is_number(value) else f"must be a number between -{MAX_NUMBER} and {MAX_NUMBER}"
    if kind is Kind.FLAG:
        return None if isinstance(value, bool) else "must be true or false"
    if kind is Kind.DATE:
        return None if _is_day(value) else "must be a day such as 2026-01-31, of the years 1900 to 2199"
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_LENGTH or "\0" in value:
        return f"must be a text of 1 to {MAX_LENGTH} characters, none of them NUL"
    return None


def _is_number(value: Any) -> bool:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    return fits and math.isfinite(value) and abs(value) <= MAX_NUMBER


def _is_day(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(DAY_PATTERN[1:-1], value):
        return False
    try:
        return date.fromisoformat(value) is not None
    except ValueError:
        return False


def compare(kind: Kind, column: Any, args: Mapping[str, Any], now: datetime) -> Any:
    """The comparison as a predicate over ``column``; NULL or false when the value is missing.

    :param column: text, numeric, boolean, timestamptz or text of ISO days (for dates), text[] or JSONB (for lists)
    :param args: ``op`` and what it takes, checked by :func:`problems`
    """
    op = args["op"]
    if op == "is_missing":
        return not_(func.coalesce(present(kind, column), False))
    if op == "is_present":
        return present(kind, column)
    if kind is Kind.DATE:
        return _compare_day(column, args, now)
    if kind is Kind.LIST:
        return _compare_list(column, args)
    if op in ("contains", "starts_with"):
        with_text = column.icontains if op == "contains" else func.lower(column).startswith
        return with_text(args["value"] if op == "contains" else args["value"].lower(), autoescape=True)
    if op in ("any_of", "none_of"):
        chosen = column.in_([_bound(column, value) for value in args["values"]])
        return chosen if op == "any_of" else and_(not_(chosen), present(kind, column))
    if op == "between":
        low, high = (_bound(column, value) for value in args["values"])
        return column.between(low, high)
    told = ORDER[op](column, _bound(column, args["value"]))
    return and_(told, present(kind, column)) if op == "not_equals" else told


ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "equals": lambda column, value: column == value,
    "not_equals": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
}


def present(kind: Kind, column: Any) -> Any:
    """A value is there; an empty text or list is none."""
    if kind in (Kind.TEXT, Kind.CHOICE):
        return column != ""
    if kind is Kind.LIST and isinstance(column.type, JSONB):
        return and_(func.jsonb_typeof(column) == "array", column != literal([], JSONB))
    return func.cardinality(column) > 0 if kind is Kind.LIST else column.is_not(None)


def _bound(column: Any, value: Any) -> Any:
    """Numbers exactly as they are written: 19.99 is not 19.989999…"""
    if isinstance(value, bool):
        return literal(value, Boolean)
    if isinstance(value, float) or (isinstance(value, int) and isinstance(column.type, Numeric)):
        return literal(Decimal(str(value)), Numeric)
    return value


def _compare_list(column: Any, args: Mapping[str, Any]) -> Any:
    if args["op"] == "contains":
        return func.array_to_string(column, "\n").icontains(args["value"], autoescape=True)
    if isinstance(column.type, JSONB):
        held = [column.contains(literal([value], JSONB)) for value in args["values"]]
        chosen = and_(
            func.jsonb_typeof(column) == "array", and_(*held) if args["op"] == "all_of" else or_(*held)
        )
    else:
        values = literal(list(args["values"]), ARRAY(Text))
        chosen = column.bool_op("@>" if args["op"] == "all_of" else "&&")(values)
    return and_(not_(chosen), present(Kind.LIST, column)) if args["op"] == "none_of" else chosen


def day_range(args: Mapping[str, Any], on: date) -> tuple[date, date]:
    """First and last day that a comparison of dates accepts on the day ``on``; not for anniversaries."""
    op, days = args["op"], timedelta(days=(args.get("days") or 1) - 1)
    if op == "last_days":
        return on - days, on
    if op == "next_days":
        return on, on + days
    if op == "between":
        return date.fromisoformat(args["values"][0]), date.fromisoformat(args["values"][1])
    day = date.fromisoformat(args["value"])
    if op == "before":
        return FIRST_DAY, day - timedelta(days=1)
    return (day + timedelta(days=1), LAST_DAY) if op == "after" else (day, day)


def _compare_day(column: Any, args: Mapping[str, Any], now: datetime) -> Any:
    on = today(now)
    if args["op"] == "anniversary":
        return _celebrates(column, args, on)
    return _on_days(column, *day_range(args, on))


def _on_days(column: Any, first: date, last: date) -> Any:
    if first > last:
        return literal(False)
    if isinstance(column.type, DateTime):
        begin = midnight(first) if first > FIRST_DAY else None
        end = midnight(last + timedelta(days=1)) if last < LAST_DAY else None
        edges = [column >= begin if begin else None, column < end if end else None]
        return and_(*[edge for edge in edges if edge is not None], column.is_not(None))
    return column.between(first.isoformat(), last.isoformat())


def _celebrates(column: Any, args: Mapping[str, Any], on: date) -> Any:
    day = column
    if isinstance(column.type, DateTime):
        day = cast(cast(func.timezone(str(settings().corp.zone), column), Date), Text)
    days = [on + timedelta(days=i) for i in range(args["days"])]
    if args.get("calendar") == "lunar":
        return day == any_(literal(lunar_births(days), ARRAY(Text)))
    marks = literal(solar_marks(days), ARRAY(Text))
    return and_(func.substr(day, 6, 5, type_=Text) == any_(marks), day < on.isoformat())


def changing(column: Any, args: Mapping[str, Any], since: datetime, until: datetime) -> Any:
    """Values whose comparison the clock alone changes between two moments, with an operator of ``TIMED``."""
    before, after = today(since), today(until)
    if args["op"] == "anniversary":
        both = or_(_celebrates(column, args, before), _celebrates(column, args, after))
        return both if before != after else and_(both, literal(False))
    (first_before, last_before), (first, last) = day_range(args, before), day_range(args, after)
    one = timedelta(days=1)
    return or_(_on_days(column, first_before, first - one), _on_days(column, last_before + one, last))


def variants(kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    """JSON Schema of ``op`` and its arguments for values of these types: ``properties`` and ``required`` each."""
    return [_variant(kind, op, shape) for kind in kinds for op, shape in OPERATORS[kind].items()]


def _variant(kind: Kind, op: str, shape: Shape) -> dict[str, Any]:
    value = value_schema(kind)
    many = {"type": "array", "items": value, "minItems": 1, "maxItems": MAX_VALUES}
    days = {"type": "integer", "minimum": 1, "maximum": MAX_DAYS}
    shapes: dict[Shape, dict[str, Any]] = {
        Shape.VALUE: {"value": value},
        Shape.VALUES: {"values": many},
        Shape.RANGE: {"values": {**many, "minItems": 2, "maxItems": 2}},
        Shape.DAYS: {"days": days},
        Shape.ANNIVERSARY: {"days": {**days, "maximum": 366}, "calendar": {"enum": [*CALENDARS]}},
        Shape.NOTHING: {},
    }
    taken = shapes[shape]
    return {"properties": {"op": {"const": op}, **taken}, "required": ["op", *(set(taken) - {"calendar"})]}


def value_schema(kind: Kind) -> dict[str, Any]:
    """JSON Schema of one value of a type."""
    if kind is Kind.NUMBER:
        return {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
    if kind is Kind.FLAG:
        return {"type": "boolean"}
    if kind is Kind.DATE:
        return dict(DAY_SCHEMA)
    return {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": r"^[^\u0000]*$"}
