"""The condition language as JSON Schema, made from the leaves themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from tags.rules.leaves import Leaf, leaves
from tags.rules.tree import MAX_DEPTH, MAX_NODES, SCHEMA_VERSION


@lru_cache(maxsize=1)
def condition_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a condition tree. Depth and number of nodes are checked by the program only."""
    node = {"$ref": "#/$defs/node"}
    many = {"type": "array", "items": node, "minItems": 1, "maxItems": MAX_NODES}
    branches = [
        _object({"all": many}), _object({"any": many}), _object({"not": node}),
        *({"$ref": f"#/$defs/{kind}"} for kind in leaves()),
    ]  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "condition",
        "description": f"at most {MAX_DEPTH} levels deep and {MAX_NODES} nodes; the top may say schema_version {SCHEMA_VERSION}",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}},
        "oneOf": [_at_top(branch) for branch in branches],
        "$defs": {"node": {"oneOf": branches}, **_leaf_schemas()},
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _at_top(branch: dict[str, Any]) -> dict[str, Any]:
    """A node that may also carry the version."""
    version = {"schema_version": {"const": SCHEMA_VERSION}}
    whole = _leaf_schemas()[branch["$ref"].rsplit("/", 1)[1]] if "$ref" in branch else branch
    return {**whole, "properties": {**whole["properties"], **version}}


def _leaf_schemas() -> dict[str, Any]:
    plugin = MarshmallowPlugin()
    APISpec("conditions", "1", "3.1.0", plugins=[plugin])
    return {kind: _leaf_schema(leaf, plugin.converter) for kind, leaf in leaves().items()}


def _leaf_schema(leaf: Leaf, converter: Any) -> dict[str, Any]:
    made = converter.schema2jsonschema(leaf.schema())
    return {
        "type": "object",
        "description": (leaf.schema.__doc__ or "").strip(),
        "properties": {"kind": {"const": leaf.kind}, **made.get("properties", {})},
        "required": ["kind", *made.get("required", [])],
        "additionalProperties": False,
    }
