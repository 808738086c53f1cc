"""Customers one of whose fields fulfils a comparison: their own, that of a present relation, or that of their person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range
from sqlalchemy import ColumnElement

from scrm.kernel.schemas import Schema
from scrm.people.queries.fields import FieldSpec, field_specs
from tags.rules import comparisons
from tags.rules.comparisons import CALENDARS, MAX_VALUES, PRESENCE, Kind
from tags.rules.fields import (
    FIELDS,
    PARTS,
    PERSON_PATTERN,
    WHOLE_PATTERN,
    field_clause,
    field_expires,
    is_field_name,
    kind_of_spec,
    kinds_of,
    person_key,
)
from tags.rules.leaf_values import field_value, own_field_value
from tags.rules.leaves import Args, Language, Leaf, Names
from tags.rules.phrases import comparison_words, plain

YEAR = 366


class Compared(Schema):
    """Arguments: the field, the operator, and what the operator takes."""

    field = fields.String(required=True)
    op = fields.String(required=True)
    value = fields.Raw()
    values = fields.List(fields.Raw(), validate=Length(1, MAX_VALUES))
    days = fields.Integer(strict=True, validate=Range(1, comparisons.MAX_DAYS))
    calendar = fields.String(validate=OneOf(CALENDARS))

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not is_field_name(data["field"]):
            known = ", ".join(FIELDS)
            raise ValidationError(f"must be one of {known}, or person.<key> for a field of people", "field")
        if data["op"] == "anniversary" and data.get("days", 1) > YEAR:
            raise ValidationError(f"must be at most {YEAR}", "days")
        _refuse(comparisons_of(kinds_of(data["field"]), data))


def comparisons_of(kinds: list[Kind], data: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong when the value may be of any of these types; the problem of the type that comes nearest."""
    found = {kind: comparisons.problems(kind, data) for kind in kinds}
    if not all(found.values()):
        return {}
    near = [kind for kind, each in found.items() if "op" not in each] or kinds
    written = any(isinstance(value, str) for value in (data.get("value"), *data.get("values", ())))
    return found[min(near, key=lambda kind: written == (kind is Kind.NUMBER))]


def _refuse(problems: Mapping[str, str]) -> None:
    for path, problem in problems.items():
        name, _, place = path.partition(".")
        raise ValidationError({name: {int(place): [problem]} if place else [problem]})


def _check(args: Args) -> dict[str, str]:
    """A person's field must exist, the comparison must fit its type, and a choice must be one of its own."""
    if args["field"] in FIELDS:
        return {}
    key, part = person_key(args["field"])
    spec = field_specs().get(key)
    kind = kind_of_spec(spec, part) if spec else None
    if spec is None or kind is None:
        return {"field": f"there is no field of people {args['field']}"}
    return comparisons.problems(kind, args) or _unknown_choice(spec, args)


def _unknown_choice(spec: FieldSpec, args: Args) -> dict[str, str]:
    known = {choice["value"] for choice in spec.choices}
    if not known or args["op"] in (*PRESENCE, "contains", "starts_with"):
        return {}
    given = {"value": args["value"]} if "value" in args else dict(_numbered(args.get("values", ())))
    return {path: f"must be one of {', '.join(sorted(known))}" for path, v in given.items() if v not in known}


def _numbered(values: Any) -> list[tuple[str, Any]]:
    return [(f"values.{i}", value) for i, value in enumerate(values)]


def _reads(args: Args) -> set[str]:
    if args["field"] in FIELDS:
        return {FIELDS[args["field"]].fact}
    return {f"field:{person_key(args['field'])[0]}"}


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return field_clause(args, now)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return field_clause(args, now, everybody=True)


def _words(args: Args, language: Language, names: Names) -> str:
    joint = "" if language == "zh" else " "
    if args["field"] not in FIELDS:
        key, part = person_key(args["field"])
        name = names.get((f"fields/{language}", key), key)
        if part:
            name = f"{name}的{PARTS[part][0]}" if language == "zh" else f"{PARTS[part][1]} of {name}"
        choice = lambda value: plain(names.get((f"choices/{language}", f"{key}.{value}"), value))  # noqa: E731
        return f"{name}{joint}{comparison_words(args, language, choice)}"
    field = FIELDS[args["field"]]
    name, place = (field.zh, 0) if language == "zh" else (field.en, 1)
    label = lambda value: field.labels[value][place] if value in field.labels else plain(value)  # noqa: E731
    return f"{name}{joint}{comparison_words(args, language, label if field.labels else plain)}"


def _variants() -> list[dict[str, Any]]:
    """For every type the fields of that type with its operators; a person's field may be of any type."""
    found = []
    for kind in Kind:
        named = sorted(name for name, field in FIELDS.items() if field.kind is kind)
        places: list[dict[str, Any]] = [{"enum": named}] if named else []
        if kind not in (Kind.FLAG, Kind.FILE):
            pattern = PERSON_PATTERN if kind is Kind.TEXT else WHOLE_PATTERN
            places.append({"type": "string", "pattern": pattern})
        for place in places:
            for each in comparisons.variants([kind]):
                properties = {"field": place, **each["properties"]}
                found.append({"properties": properties, "required": ["field", *each["required"]]})
    return found


LEAF = Leaf(
    kind="field",
    schema=Compared,
    reads=_reads,
    clause=_clause,
    words=_words,
    expires=field_expires,
    over_all=_over_all,
    check=_check,
    variants=_variants,
    value=field_value,
    own_value=own_field_value,
)
