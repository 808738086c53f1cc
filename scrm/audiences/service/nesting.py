"""Audiences inside audiences: never in a ring, and never so deep or so many that asking them gets out of hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from scrm.audiences.models import Audience
from scrm.audiences.queries.in_audience import KIND
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from tags.rules.service.cycles import find_cycle, rule_ends
from tags.rules.tree import parse_tree

MAX_NESTING = 5  # audiences inside each other, the outermost counted
MAX_EXPANDED = 300  # nodes of a tree with every audience inside it expanded


@dataclass(frozen=True)
class Link:
    """An audience in the graph of who names whom; ``refers_to`` with repetitions."""

    name: str
    nodes: int
    refers_to: tuple[int, ...]


Graph = Mapping[int, Link]


def audiences_in(tree: Mapping[str, Any], path: str = "condition") -> list[tuple[str, int]]:
    """(place, audience id) of every audience that a tree names itself."""
    return [
        (f"{each.path}.audience_ids.{i}", id_)
        for leaf, each in parse_tree(tree, path).leaves()
        if leaf.kind == KIND
        for i, id_ in enumerate(each.args["audience_ids"])
    ]


def refuse_nesting(audience_id: int, tree: Mapping[str, Any]) -> None:
    """Refuse a new condition that leads back to its own audience, or is too large with everything inside it.

    :raises InvalidInput: with the place inside the tree and the way round
    """
    named = audiences_in(tree)
    if not named:
        return
    graph = _graph()
    own = Link(graph[audience_id].name, _nodes(tree), tuple(id_ for _, id_ in named))
    for place, id_ in named:
        if way := _way(graph, id_, audience_id):
            told = " → ".join(f"audience {each} ({graph[each].name})" for each in [audience_id, *way])
            raise InvalidInput.field(place, f"audiences would contain each other: {told}")
    graph[audience_id] = own
    for id_ in {audience_id, *_above(graph, audience_id)}:
        _refuse_size(graph, id_, named[0][0])


def _graph() -> dict[int, Link]:
    rows = session().execute(
        select(Audience.id, Audience.name, Audience.condition, Audience.refers_to).where(
            Audience.deleted_at.is_(None)
        )
    )
    return {row.id: Link(row.name, _nodes(row.condition), tuple(row.refers_to)) for row in rows}


def _nodes(tree: Any) -> int:
    if not isinstance(tree, Mapping):
        return 1
    below = [tree["not"]] if "not" in tree else tree.get("all") or tree.get("any") or ()
    return 1 + sum(_nodes(each) for each in below)


def _way(graph: Graph, start: int, end: int) -> list[int] | None:
    """The audiences from one to another, both included, in the order in which they name each other."""
    seen, ways = {start}, [[start]]
    while ways:
        way = ways.pop()
        if way[-1] == end:
            return way
        for id_ in graph[way[-1]].refers_to if way[-1] in graph else ():
            if id_ not in seen:
                seen.add(id_)
                ways.append([*way, id_])
    return None


def _above(graph: Graph, audience_id: int) -> Iterator[int]:
    """Every audience that contains this one."""
    seen, waiting = {audience_id}, [audience_id]
    while waiting:
        inner = waiting.pop()
        found = [id_ for id_, link in graph.items() if inner in link.refers_to and id_ not in seen]
        seen.update(found)
        waiting += found
        yield from found


def _refuse_size(graph: Graph, audience_id: int, place: str) -> None:
    sizes: dict[int, tuple[int, int]] = {}

    def measure(id_: int) -> tuple[int, int]:
        """(nodes, levels) of an audience with everything inside; there is no ring."""
        if id_ not in sizes:
            below = [measure(each) for each in graph[id_].refers_to if each in graph]
            nodes = graph[id_].nodes + sum(each[0] for each in below)
            sizes[id_] = nodes, 1 + max((each[1] for each in below), default=0)
        return sizes[id_]

    nodes, levels = measure(audience_id)
    whose = f"audience {audience_id} ({graph[audience_id].name})"
    if levels > MAX_NESTING:
        problem = (
            f"{whose} would hold {levels} audiences inside each other; at most {MAX_NESTING} are allowed"
        )
        raise InvalidInput.field(place, problem)
    if nodes > MAX_EXPANDED:
        problem = f"{whose} would have {nodes} nodes with the audiences inside it; at most {MAX_EXPANDED} are allowed"
        raise InvalidInput.field(place, problem)


def refuse_rule_rings(tree: Mapping[str, Any], rule_ids: list[int]) -> None:
    """Refuse a tree through which rules would feed each other.

    :param rule_ids: rules that read the audience of this tree; their ``reads`` are those of the new tree already
    :raises InvalidInput: with the place inside the tree that reads the tag of the ring
    """
    rules = rule_ends()
    for rule_id in rule_ids:
        if ring := find_cycle(rules, rule_id):
            changed = frozenset[str]().union(*(rules[each].changes for each in ring))
            told = " → ".join(f"rule {each} ({rules[each].name})" for each in [*ring, ring[0]])
            problem = f"rules that read this audience would feed each other in a ring: {told}"
            raise InvalidInput.field(_place_of(tree, changed), problem)


def _place_of(tree: Mapping[str, Any], facts: frozenset[str]) -> str:
    node = parse_tree(tree)
    return next((each.path for leaf, each in node.leaves() if leaf.reads(each.args) & facts), node.path)
