"""Trees of older versions of the language, read as the present one says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tags.rules.comparisons import Kind
from tags.rules.fields import FIELDS

SCHEMA_VERSION = 2
Raw = Mapping[str, Any]


def _field_equals(leaf: Raw) -> dict[str, Any]:
    name, value = leaf.get("field"), leaf.get("value")
    known = FIELDS.get(name) if isinstance(name, str) else None
    if value == "":
        return {"kind": "field", "field": name, "op": "is_missing"}
    if known is not None and known.kind is Kind.LIST:
        return {"kind": "field", "field": name, "op": "any_of", "values": [value]}
    return {**leaf, "kind": "field", "op": "equals"}


def _has_not_tag(leaf: Raw) -> dict[str, Any]:
    match = {"all": "none", "any": "not_all"}.get(str(leaf.get("match", "all")), leaf.get("match"))
    return {**leaf, "kind": "has_tag", "match": match}


def _added_within_days(leaf: Raw) -> dict[str, Any]:
    rest = {key: value for key, value in leaf.items() if key != "days"}
    window = {"last_days": leaf["days"]} if "days" in leaf else {}
    return {**rest, "kind": "follow", "added": window}


# Kinds of version 1 that are no longer there → the leaf of today that holds for the same customers.
OLD_KINDS: dict[str, Callable[[Raw], dict[str, Any]]] = {
    "field_equals": _field_equals,
    "field_contains": lambda leaf: {**leaf, "kind": "field", "op": "contains"},
    "has_not_tag": _has_not_tag,
    "added_by_staff": lambda leaf: {**leaf, "kind": "follow"},
    "added_through_channel": lambda leaf: {**leaf, "kind": "follow"},
    "added_within_days": _added_within_days,
}


def current_leaf(leaf: Raw) -> Raw:
    """A leaf of version 1 as the present version says it; one that is current stays as it is."""
    kind = leaf.get("kind")
    renewed = OLD_KINDS.get(kind) if isinstance(kind, str) else None
    return renewed(leaf) if renewed else leaf


def current_tree(tree: Raw) -> dict[str, Any]:
    """A whole tree of any version, of well-formed branches, in the words of the present version."""
    body = {key: value for key, value in tree.items() if key != "schema_version"}
    renewed = dict(body) if tree.get("schema_version") == SCHEMA_VERSION else _renewed(body)
    return {"schema_version": SCHEMA_VERSION, **renewed}


def _renewed(node: Raw) -> dict[str, Any]:
    if "kind" in node:
        return dict(current_leaf(node))
    op, below = next(iter(node.items()))
    return {op: _renewed(below) if op == "not" else [_renewed(child) for child in below]}
