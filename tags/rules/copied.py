"""Filters and measures over copied rows (:mod:`tags.rules.copies`): the same comparisons, on a column for each property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Numeric, Select, Text

from tags.rules.comparisons import Kind, compare, problems
from tags.rules.copies import PERSON, NotCopied
from tags.rules.measures import measured

KINDS: dict[type[Any], Kind] = {
    Text: Kind.TEXT, Numeric: Kind.NUMBER, Boolean: Kind.FLAG, DateTime: Kind.DATE,
}  # fmt: skip
UNLIKE = ("contains", "starts_with")  # what is upper and lower case in other languages may differ


def copied_property(rows: Any, key: str) -> Any:
    """The column of a property.

    :raises NotCopied: it has none in some month
    """
    found = rows.c.get(f"p_{key}")
    if found is None:
        raise NotCopied(key)
    return found


def copied_number(rows: Any, key: str) -> Any:
    """The column of a property that holds numbers.

    :raises NotCopied: it has none, or one of something else
    """
    found = copied_property(rows, key)
    if not isinstance(found.type, Numeric):
        raise NotCopied(key)
    return found


def copied_filters(rows: Any, filters: Sequence[Mapping[str, Any]] | None, now: datetime) -> list[Any]:
    """Filters on properties, over their columns.

    :raises NotCopied: one of them cannot be asked there
    """
    return [_filter(copied_property(rows, each["property"]), each, now) for each in filters or ()]


def _filter(property_: Any, args: Mapping[str, Any], now: datetime) -> Any:
    kind = KINDS[type(property_.type)]
    if args["op"] in UNLIKE or problems(kind, args):
        raise NotCopied(args["op"])
    return compare(kind, property_, args, now)


def copied_measure(
    args: Mapping[str, Any], people: Select[Any], day: Any, figure: Any
) -> ColumnElement[bool]:
    """The comparison of a measure as a predicate over :data:`PERSON`.

    :param people: the person of every row that counts
    :param day: the day of a row in the corp's zone; None: there is no such column
    :raises NotCopied: averages, which DuckDB rounds
    """
    if args["measure"] == "avg" or (args["measure"] == "days" and day is None):
        raise NotCopied(args["measure"])
    grouped = people.group_by(people.selected_columns[0])
    return measured(args, day, figure, lambda having: PERSON.in_(grouped.having(having)), PERSON.in_(people))
