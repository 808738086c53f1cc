"""Filters on the properties of events: each is a comparison, all of them must hold of one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Regexp
from sqlalchemy import Boolean, DateTime, Numeric, and_, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from scrm.behaviour.models import EventType
from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.db import session
from scrm.kernel.schemas import Schema
from tags.rules import comparisons
from tags.rules.comparisons import MAX_VALUES, TIMED, Kind, compare
from tags.rules.leaves import Language, Names
from tags.rules.phrases import comparison_words

KEY_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
MAX_FILTERS = 10
EMPTY: tuple[Any, ...] = ("", [], None)
KINDS = {
    PropertyType.TEXT: Kind.TEXT, PropertyType.NUMBER: Kind.NUMBER, PropertyType.INTEGER: Kind.NUMBER,
    PropertyType.BOOLEAN: Kind.FLAG, PropertyType.TIME: Kind.DATE, PropertyType.LIST: Kind.LIST,
}  # fmt: skip
COMPARABLE = (Kind.TEXT, Kind.NUMBER, Kind.FLAG, Kind.DATE, Kind.LIST)
ISO_MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}"
NUMERIC = (PropertyType.NUMBER, PropertyType.INTEGER)


class PropertyFilter(Schema):
    """One comparison of one property."""

    property = fields.String(required=True, validate=Regexp(KEY_PATTERN))
    op = fields.String(required=True)
    value = fields.Raw()
    values = fields.List(fields.Raw(), validate=Length(1, MAX_VALUES))

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["op"] in TIMED:
            raise ValidationError("does not go with properties", "op")
        found = [comparisons.problems(kind, data) for kind in COMPARABLE]
        if all(found):
            path, problem = next(iter(next((each for each in found if "op" not in each), found[0]).items()))
            name, _, place = path.partition(".")
            raise ValidationError({name: {int(place): [problem]} if place else [problem]})


class FiltersField(fields.List[Any]):
    """Up to ten filters, all of which must hold of one event."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(PropertyFilter), validate=Length(1, MAX_FILTERS), **kwargs)

    @property
    def json_schema(self) -> dict[str, Any]:
        """One object for every operator of every type."""
        shapes = [
            shape
            for shape in comparisons.variants(COMPARABLE)
            if shape["properties"]["op"]["const"] not in TIMED
        ]
        key = {"type": "string", "pattern": KEY_PATTERN}
        items = [
            {
                "type": "object",
                "properties": {"property": key, **shape["properties"]},
                "required": ["property", *shape["required"]],
                "additionalProperties": False,
            }
            for shape in shapes
        ]
        return {"type": "array", "items": {"anyOf": items}, "minItems": 1, "maxItems": MAX_FILTERS}


def filter_clauses(properties: Any, filters: Sequence[Mapping[str, Any]] | None, now: datetime) -> list[Any]:
    """The filters over a JSONB column of properties."""
    return [_filter(properties, each, now) for each in filters or ()]


def _filter(properties: Any, args: Mapping[str, Any], now: datetime) -> Any:
    value = properties[args["property"]]
    text = properties[args["property"]].astext
    kind = _asked(args)
    if args["op"] in ("is_present", "is_missing"):
        there = and_(value.is_not(None), value.not_in([literal(each, JSONB) for each in EMPTY]))
        return func.coalesce(there, False) == (args["op"] == "is_present")
    if kind is Kind.NUMBER:
        return compare(kind, number_of(properties, args["property"]), args, now)
    if kind is Kind.FLAG:
        return compare(kind, _typed(value, "boolean", cast(text, Boolean)), args, now)
    if kind is Kind.DATE:
        return compare(
            kind, case((text.regexp_match(ISO_MOMENT), cast(text, DateTime(timezone=True)))), args, now
        )
    held = func.jsonb_typeof(value) == "array"
    if args["op"] in ("any_of", "all_of", "none_of"):
        several = compare(Kind.LIST, case((held, value)), args, now)
        if args["op"] == "all_of":
            return several
        single = compare(Kind.TEXT, text, args, now)
        return func.coalesce(case((held, several), (func.jsonb_typeof(value) == "string", single)), False)
    # The comparison first: it drops most rows, and only the others are asked for their type.
    return and_(compare(Kind.TEXT, text, args, now), func.jsonb_typeof(value) == "string")


def number_of(properties: Any, key: str) -> Any:
    """A property as a number; NULL where it is none, so that no row can make the statement fail."""
    return _typed(properties[key], "number", cast(properties[key], Numeric))


def _typed(value: Any, name: str, meant: Any) -> Any:
    return case((func.jsonb_typeof(value) == name, meant))


def _asked(args: Mapping[str, Any]) -> Kind:
    """The type that a comparison is about, as its operator and values tell."""
    values = [args["value"]] if args.get("value") is not None else list(args.get("values") or ())
    if values and isinstance(values[0], bool):
        return Kind.FLAG
    if values and not isinstance(values[0], str):
        return Kind.NUMBER
    return Kind.DATE if args["op"] in ("on", "before", "after", "between") else Kind.TEXT


def filter_words(
    type_id: int, filters: Sequence[Mapping[str, Any]] | None, language: Language, names: Names
) -> str:
    """``（渠道等于「app」，金额大于5）``; empty without filters."""
    zh = language == "zh"
    told = [
        f"{property_name(type_id, each['property'], language, names)}{'' if zh else ' '}"
        f"{comparison_words(each, language)}"
        for each in filters or ()
    ]
    if not told:
        return ""
    return f"（{'，'.join(told)}）" if zh else f" ({', '.join(told)})"


def property_name(type_id: int, key: str, language: Language, names: Names) -> str:
    """What people call a property."""
    return names.get((f"properties/{language}", f"{type_id}.{key}"), key)


def check_filters(type_id: int, filters: Sequence[Mapping[str, Any]] | None, path: str) -> dict[str, str]:
    """Problems of filters with what the event type says of its properties: path → what would be right.

    :param path: where the filters stand, such as ``where`` or ``then.where``
    """
    if not filters:
        return {}
    types = property_types(type_id)
    for i, each in enumerate(filters):
        told = types.get(each["property"])
        if told is None:
            return {f"{path}.{i}.property": _unknown(each["property"], types)}
        for argument, problem in comparisons.problems(KINDS[told], each).items():
            return {f"{path}.{i}.{argument}": problem}
    return {}


def check_number(type_id: int, key: str) -> dict[str, str]:
    """The problem of a property that is to be added up and is no number."""
    types = property_types(type_id)
    if key not in types:
        return {"property": _unknown(key, types)}
    return (
        {}
        if types[key] in NUMERIC
        else {"property": f"must be a number to be worked with; it is a {types[key]}"}
    )


def property_types(type_id: int) -> dict[str, PropertyType]:
    """Key → type of every property that an event type names."""
    told = session().scalar(select(EventType.properties).where(EventType.id == type_id)) or []
    return {each["key"]: PropertyType(each["type"]) for each in told}


def _unknown(key: str, types: Mapping[str, PropertyType]) -> str:
    known = ", ".join(sorted(types)) or "it has none"
    return f"the event type has no property {key}; its properties: {known}"
