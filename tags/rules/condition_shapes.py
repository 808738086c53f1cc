"""Arguments of leaves as JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import And, Length, OneOf, Range, Regexp


def object_of(properties: dict[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    """An object with these properties and no others; all of them are required, or those that are named."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties if required is None else required),
        "additionalProperties": False,
    }


def nullable(shape: dict[str, Any]) -> dict[str, Any]:
    """``shape`` or null, which is the same as leaving the argument out."""
    return {"anyOf": [shape, {"type": "null"}]}


def shape_of(schema: type[Schema], without: Sequence[str] = ()) -> dict[str, Any]:
    """``properties`` and ``required`` of a marshmallow schema, some of its fields left out."""
    made = schema()
    made.fields = {name: field for name, field in made.fields.items() if name not in without}
    return {
        "properties": {f.data_key or name: field_schema(f) for name, f in made.fields.items()},
        "required": [f.data_key or name for name, f in made.fields.items() if f.required],
    }


def field_schema(field: fields.Field[Any]) -> dict[str, Any]:
    """JSON Schema of one argument."""
    told = {key: field.metadata[key] for key in ("description",) if key in field.metadata}
    shape = {**_shape(field), **told}
    return nullable(shape) if field.allow_none else shape


def _shape(field: fields.Field[Any]) -> dict[str, Any]:
    if (own := getattr(field, "json_schema", None)) is not None:
        return dict(own)
    if isinstance(field, fields.List):
        return {"type": "array", "items": field_schema(field.inner), **_limits(field, "Items")}
    if isinstance(field, fields.Nested):
        shape = shape_of(type(field.schema))
        return object_of(shape["properties"], shape["required"])
    if isinstance(field, fields.Boolean):
        return {"type": "boolean"}
    if isinstance(field, fields.Integer):
        return {"type": "integer", **_limits(field, "imum")}
    if isinstance(field, fields.Float):
        return {"type": "number", **_limits(field, "imum")}
    if isinstance(field, fields.String):
        return {"type": "string", **_limits(field, "Length")}
    raise TypeError(f"no JSON Schema of {type(field).__name__}: give it one as json_schema")


def _limits(field: fields.Field[Any], suffix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for validator in _validators(field):
        if isinstance(validator, (Length, Range)):
            found |= {f"min{suffix}": validator.min, f"max{suffix}": validator.max}
        elif isinstance(validator, OneOf):
            found["enum"] = list(validator.choices)
        elif isinstance(validator, Regexp):
            found["pattern"] = validator.regex.pattern
        elif getattr(validator, "__name__", "") == "plain_text":
            found["pattern"] = r"^[^\u0000]*$"
    return {key: value for key, value in found.items() if value is not None}


def _validators(field: fields.Field[Any]) -> list[Any]:
    return [
        inner
        for validator in field.validators
        for inner in (validator.validators if isinstance(validator, And) else [validator])
    ]
