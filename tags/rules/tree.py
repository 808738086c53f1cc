"""The JSON tree of a condition, read strictly: what is wrong is named by its path inside the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from marshmallow import Schema, ValidationError

from scrm.kernel.errors import InvalidInput
from scrm.kernel.problems import flatten
from tags.rules.leaves import Leaf, leaves
from tags.rules.migration import SCHEMA_VERSION, current_leaf

OLD_VERSION = 1  # its leaves are read as those of today (tags/rules/migration.py); so are those of a tree without version
MAX_DEPTH = 10
MAX_NODES = 100
BRANCHES = ("all", "any", "not")


@dataclass(frozen=True)
class Node:
    """One node: a branch with its children, or a leaf with its checked arguments.

    :param op: ``all``, ``any``, ``not`` or ``leaf``
    :param path: where it stands, such as ``condition.all.1``
    """

    op: str
    path: str
    children: tuple[Node, ...] = ()
    leaf: Leaf | None = None
    args: Mapping[str, Any] = field(default_factory=dict)

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()

    def leaves(self) -> Iterator[tuple[Leaf, Node]]:
        """Every leaf below."""
        for node in self.walk():
            if node.leaf is not None:
                yield node.leaf, node


def parse_tree(tree: object, path: str = "condition") -> Node:
    """The tree as nodes.

    :raises InvalidInput: with the path of the first thing that is wrong
    """
    if not isinstance(tree, Mapping):
        raise InvalidInput.field(path, 'must be an object such as {"kind": "has_tag", "tag_ids": [1]}')
    version = tree.get("schema_version", OLD_VERSION)
    if isinstance(version, bool) or version not in (OLD_VERSION, SCHEMA_VERSION):
        raise InvalidInput.field(f"{path}.schema_version", f"must be {SCHEMA_VERSION}")
    body = {key: value for key, value in tree.items() if key != "schema_version"}
    node = _node(body, path, 1, old=version == OLD_VERSION)
    if (count := sum(1 for _ in node.walk())) > MAX_NODES:
        raise InvalidInput.field(path, f"has {count} nodes; at most {MAX_NODES} are allowed")
    return node


def _node(raw: object, path: str, depth: int, *, old: bool) -> Node:
    if depth > MAX_DEPTH:
        raise InvalidInput.field(path, f"is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(raw, Mapping):
        raise InvalidInput.field(path, "must be an object")
    if "kind" in raw:
        return _leaf(current_leaf(raw) if old else raw, path)
    if len(raw) != 1 or next(iter(raw)) not in BRANCHES:
        raise InvalidInput.field(path, "must hold exactly one of all, any, not, or be a leaf with a kind")
    op, below = next(iter(raw.items()))
    if op == "not":
        return Node("not", path, (_node(below, f"{path}.not", depth + 1, old=old),))
    if not isinstance(below, list) or not 1 <= len(below) <= MAX_NODES:
        raise InvalidInput.field(f"{path}.{op}", f"must be a list of 1 to {MAX_NODES} conditions")
    children = tuple(_node(child, f"{path}.{op}.{i}", depth + 1, old=old) for i, child in enumerate(below))
    return Node(op, path, children)


@lru_cache
def _schema(made: type[Schema]) -> Schema:
    """One of each for all: to make one takes longer than to check a leaf with it."""
    return made()


def _leaf(raw: Mapping[str, Any], path: str) -> Node:
    known = leaves()
    leaf = known.get(raw["kind"]) if isinstance(raw["kind"], str) else None
    if leaf is None:
        raise InvalidInput.field(f"{path}.kind", f"must be one of {', '.join(known)}")
    try:
        args = _schema(leaf.schema).load({key: value for key, value in raw.items() if key != "kind"})
    except ValidationError as error:
        problems = flatten(error.messages, path)
        detail = "; ".join(f"{where}: {what}" for where, what in problems.items())
        raise InvalidInput(detail, fields=problems) from None
    return Node("leaf", path, leaf=leaf, args=args)
