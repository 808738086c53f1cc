"""The condition language as JSON Schema, made from the leaves themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import And, Length, OneOf, Range

from tags.rules.leaves import Leaf, leaves
from tags.rules.migration import SCHEMA_VERSION
from tags.rules.tree import MAX_DEPTH, MAX_NODES

VERSION = {"schema_version": {"const": SCHEMA_VERSION}}


@lru_cache(maxsize=1)
def condition_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a condition tree as it is kept.

    The program alone checks depth, number of nodes, whether what is referred to exists, types of a person's own fields
    and of properties, and that a range begins with its lower end.
    """
    node = {"$ref": "#/$defs/node"}
    many = {"type": "array", "items": node, "minItems": 1, "maxItems": MAX_NODES}
    branches = [_object({"all": many}), _object({"any": many}), _object({"not": node})]
    below = [*branches, *({"$ref": f"#/$defs/{kind}"} for kind in leaves())]
    at_top = [*branches, *(each for leaf in leaves().values() for each in _objects(leaf))]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "condition",
        "description": f"at most {MAX_DEPTH} levels deep and {MAX_NODES} nodes; the top may say schema_version {SCHEMA_VERSION}",
        "type": "object",
        "anyOf": [{**each, "properties": {**each["properties"], **VERSION}} for each in at_top],
        "$defs": {"node": {"anyOf": below}, **{leaf.kind: _definition(leaf) for leaf in leaves().values()}},
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties if required is None else required),
        "additionalProperties": False,
    }


def _definition(leaf: Leaf) -> dict[str, Any]:
    objects = _objects(leaf)
    told = {"description": (leaf.schema.__doc__ or "").strip()}
    return {**told, **objects[0]} if len(objects) == 1 else {**told, "anyOf": objects}


def _objects(leaf: Leaf) -> list[dict[str, Any]]:
    """A leaf as objects of which one must fit."""
    shapes = leaf.variants() if leaf.variants else [schema_shape(leaf.schema)]
    kind = {"kind": {"const": leaf.kind}}
    return [_object({**kind, **shape["properties"]}, ["kind", *shape["required"]]) for shape in shapes]


def schema_shape(schema: type[Schema]) -> dict[str, Any]:
    """``properties`` and ``required`` of a marshmallow schema."""
    made = schema()
    return {
        "properties": {f.data_key or name: field_schema(f) for name, f in made.fields.items()},
        "required": [f.data_key or name for name, f in made.fields.items() if f.required],
    }


def field_schema(field: fields.Field[Any]) -> dict[str, Any]:
    """JSON Schema of one argument."""
    told = {key: field.metadata[key] for key in ("description",) if key in field.metadata}
    shape = {**_shape(field), **told}
    return {"anyOf": [shape, {"type": "null"}]} if field.allow_none else shape


def _shape(field: fields.Field[Any]) -> dict[str, Any]:
    if (own := getattr(field, "json_schema", None)) is not None:
        return dict(own)
    if isinstance(field, fields.List):
        return {"type": "array", "items": field_schema(field.inner), **_limits(field, "Items")}
    if isinstance(field, fields.Nested):
        shape = schema_shape(type(field.schema))
        return _object(shape["properties"], shape["required"])
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
        elif getattr(validator, "__name__", "") == "plain_text":
            found["pattern"] = r"^[^\u0000]*$"
    return {key: value for key, value in found.items() if value is not None}


def _validators(field: fields.Field[Any]) -> list[Any]:
    return [
        inner
        for validator in field.validators
        for inner in (validator.validators if isinstance(validator, And) else [validator])
    ]
