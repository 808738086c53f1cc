"""The condition language as JSON Schema, made from the leaves themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tags.rules.condition_shapes import object_of, shape_of
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
    branches = [object_of({"all": many}), object_of({"any": many}), object_of({"not": node})]
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


def _definition(leaf: Leaf) -> dict[str, Any]:
    objects = _objects(leaf)
    told = {"description": (leaf.schema.__doc__ or "").strip()}
    return {**told, **objects[0]} if len(objects) == 1 else {**told, "anyOf": objects}


def _objects(leaf: Leaf) -> list[dict[str, Any]]:
    """A leaf as objects of which one must fit."""
    shapes = leaf.variants() if leaf.variants else [shape_of(leaf.schema)]
    kind = {"kind": {"const": leaf.kind}}
    return [object_of({**kind, **shape["properties"]}, ["kind", *shape["required"]]) for shape in shapes]
