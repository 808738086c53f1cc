"""A condition as set algebra over small leaves that many conditions share.

The rewriting stays inside the language: ``has_tag`` with five tags becomes five leaves with one tag each, and every such
leaf is still asked by the one compiler. So there is no second meaning of a condition that could disagree with the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product
from math import prod
from typing import Any

import orjson

from scrm.people.queries.fields import FieldType, field_specs
from tags.rules.comparisons import Kind
from tags.rules.compiler import versioned
from tags.rules.fields import FIELDS, person_key
from tags.rules.tree import parse_tree
from tags.sets.registry import EXPANSIONS

MOST_PIECES = 50  # a leaf whose lists would make more sets than this is kept whole, but for tags
# Lists of which any one suffices: a leaf with several values is the union of leaves with one.
ALTERNATIVES = {
    "follow": ("staff_ids", "department_ids", "channel_code_ids", "acquisition_link_ids", "add_ways"),
    "in_group": ("group_ids", "owner_staff_ids", "group_code_ids"),
    "stage": ("stages",),
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "follow": {"state": "present"},
    "has_tag": {"match": "any"},
    "trait": {"list": False},
}
Raw = Mapping[str, Any]


@dataclass(frozen=True)
class SetNode:
    """``all``, ``any`` or ``not`` over nodes, or ``leaf`` with the key of its set: its canonical JSON."""

    op: str
    children: tuple[SetNode, ...] = ()
    key: str = ""

    def keys(self) -> Iterator[str]:
        """Keys of every set below."""
        if self.op == "leaf":
            yield self.key
        for child in self.children:
            yield from child.keys()


def set_tree(tree: Raw, path: str = "condition") -> SetNode:
    """A condition as algebra over sets.

    :raises InvalidInput: when the tree is malformed
    """
    parse_tree(tree, path)
    body = {key: value for key, value in versioned(tree).items() if key != "schema_version"}
    return _node(body)


def set_leaf(leaf: Raw) -> SetNode:
    """One leaf that needs no rewriting."""
    defaults = DEFAULTS.get(leaf["kind"], {})
    said = {k: v for k, v in leaf.items() if v is not None and not (k in defaults and defaults[k] == v)}
    return SetNode("leaf", key=orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode())


def leaf_of(key: str) -> dict[str, Any]:
    """The leaf of a key, as a whole tree of the present version."""
    leaf: dict[str, Any] = orjson.loads(key)
    return {"schema_version": 2, **leaf}


def _node(raw: Raw) -> SetNode:
    if "kind" in raw:
        return _leaf(raw)
    op, below = next(iter(raw.items()))
    if op == "not":
        return SetNode("not", (_node(below),))
    return SetNode(op, tuple(_node(child) for child in below))


def _leaf(raw: Raw) -> SetNode:
    expansion = EXPANSIONS.get(raw["kind"])
    if expansion and (expanded := expansion(raw)) is not None:
        return _node(expanded)
    if raw["kind"] == "has_tag":
        return _has_tag(raw)
    if raw["kind"] == "field":
        return _field(raw)
    return _any_of_lists(raw, ALTERNATIVES.get(raw["kind"], ()))


def _has_tag(raw: Raw) -> SetNode:
    """One leaf a tag, or a group of tags."""
    name = "tag_ids" if raw.get("tag_ids") else "tag_group_ids"
    rest = {key: value for key, value in raw.items() if key not in ("tag_ids", "tag_group_ids", "match")}
    each = tuple(set_leaf({**rest, name: [id_]}) for id_ in dict.fromkeys(raw[name]))
    match = raw.get("match", "any")
    together = SetNode("any" if match in ("any", "none") else "all", each)
    return SetNode("not", (together,)) if match in ("none", "not_all") else together


def _field(raw: Raw) -> SetNode:
    """``is_missing`` as the opposite of ``is_present``, and any of several values as one leaf a value."""
    if raw["op"] == "is_missing":
        return SetNode("not", (set_leaf({**raw, "op": "is_present"}),))
    if raw["op"] == "equals":
        return _one_value(raw)
    if raw["op"] == "between" and isinstance(raw["values"][0], str):
        return _by_years(raw)
    if raw["op"] != "any_of" or len(raw["values"]) > MOST_PIECES:
        return set_leaf(raw)
    field = FIELDS.get(raw["field"])
    is_part = field is None and person_key(raw["field"])[1] is not None
    if not is_part and (field is None or field.kind is Kind.LIST):
        return SetNode("any", tuple(set_leaf({**raw, "values": [value]}) for value in raw["values"]))
    rest = {key: value for key, value in raw.items() if key != "values"}
    return SetNode("any", tuple(_one_value({**rest, "op": "equals", "value": v}) for v in raw["values"]))


def _by_years(raw: Raw) -> SetNode:
    """Days of a field of persons as whole years, that many questions share, and what is left of the first and the last."""
    first, last = map(date.fromisoformat, raw["values"])
    whole = (
        last.year - first.year - 1 + (first.timetuple().tm_yday == 1) + ((last.month, last.day) == (12, 31))
    )
    if whole < 1 or last.year - first.year >= MOST_PIECES or not _holds_days(raw["field"]):
        return set_leaf(raw)
    years = [year_bounds(year) for year in range(first.year, last.year + 1)]
    made = [
        set_leaf({**raw, "values": [max(raw["values"][0], begin), min(raw["values"][1], end)]})
        for begin, end in years
    ]
    return SetNode("any", tuple(made))


def year_bounds(year: int) -> tuple[str, str]:
    """First and last day."""
    return f"{year:04}-01-01", f"{year:04}-12-31"


def _holds_days(name: str) -> bool:
    """Only where each value is a day: texts may lie between the last day of a year and the first of the next."""
    if name in FIELDS or person_key(name)[1] is not None:
        return False
    spec = field_specs().get(person_key(name)[0])
    return spec is not None and spec.type is FieldType.DATE


def _one_value(raw: Raw) -> SetNode:
    """A way of adding is asked as the leaf ``follow`` asks it: of a present relation too."""
    if raw["field"] == "follow.add_way" and isinstance(raw["value"], int) and raw["value"] >= 0:
        return set_leaf({"kind": "follow", "add_ways": [raw["value"]]})
    return set_leaf(raw)


def _any_of_lists(raw: Raw, names: tuple[str, ...]) -> SetNode:
    given = [name for name in names if raw.get(name)]
    if not given or prod(len(raw[name]) for name in given) > MOST_PIECES:
        return set_leaf(raw)
    choices = product(*[dict.fromkeys(raw[name]) for name in given])
    made = tuple(
        set_leaf({**raw, **{name: [value] for name, value in zip(given, chosen, strict=True)}})
        for chosen in choices
    )
    return SetNode("any", made)
