"""What somebody gets to read of conditions and of the values that leaves look at: what is masked in the view of a person
is here too.

A count answers yes or no as well as a value does, so a condition may only ask what its author may read. Of what others
saved, a reader is told who belongs, but of a leaf that the reader could not ask neither what it says nor whether it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from scrm.kernel.clock import utcnow
from scrm.kernel.errors import Forbidden, ScrmError
from scrm.kernel.permissions import Actor, Permission
from scrm.people.queries.fields import FieldSpec, field_specs
from scrm.people.queries.people import MASKED_TYPES, masked
from tags.rules.comparisons import PRESENCE
from tags.rules.compiler import sentence
from tags.rules.leaf_values import own_value
from tags.rules.references import reference_names
from tags.rules.tree import Node, parse_tree

PERSON = "person"
FIELD_FACT = "field:"
PRIVATE = frozenset({"customer.unionid", "follow.remark_mobiles"})
"""Of what is no field of persons, what is masked without ``people:write``."""
HIDDEN = "***"
SHOWN_PARTS = frozenset({"country", "province", "city"})
"""Parts of an address that the view of a person does not mask."""
Told = dict[str, str]


def refuse_unreadable(actor: Actor, tree: Mapping[str, Any], path: str = "condition") -> None:
    """Refuse a condition that asks about what its author may not read, which its count would tell.

    Of a field that needs a permission which is lacking nothing may be asked; of a masked value, whether there is one.

    :raises Forbidden: naming the first such leaf and the permission
    :raises InvalidInput: the condition is malformed
    """
    reader = Reader(actor)
    for _, each in parse_tree(tree, path).leaves():
        if wanted := reader.wanted(each):
            where = f"{each.path}.field"
            problem = f"this key may not ask about {each.args['field']}: it needs {wanted}"
            raise Forbidden(f"{where}: {problem}", fields={where: problem})


class Reader:
    """What an actor may read of fields; looked up once for as many conditions as are shown.

    :param trees: conditions of which sentences are told: what they name is looked up for all of them at once
    """

    def __init__(self, actor: Actor, trees: Iterable[Mapping[str, Any]] = ()) -> None:
        self._names = reference_names(*_readable(trees))
        self._held = {str(permission) for permission in actor.permissions}
        self._specs = field_specs(archived=True)

    def hidden(self, tree: Mapping[str, Any] | Node) -> frozenset[str]:
        """Paths of the leaves that the actor may not ask.

        :raises InvalidInput: the condition is malformed
        """
        node = tree if isinstance(tree, Node) else parse_tree(tree)
        return frozenset(each.path for _, each in node.leaves() if self.wanted(each))

    def wanted(self, leaf: Node) -> str | None:
        """The permission (one of several) that the actor lacks to ask a leaf; None: it may be asked."""
        field = leaf.args.get("field")
        if field is None:
            return None
        if spec := self.out_of_sight(field):
            return " or ".join(spec.seen_with)
        told = leaf.args.get("op") in PRESENCE or field.rpartition(".")[2] in SHOWN_PARTS
        return Permission.PEOPLE_WRITE if self.masks(field) and not told else None

    def out_of_sight(self, field: str) -> FieldSpec | None:
        """The field, if it needs a permission that the actor lacks."""
        spec = self._spec(field)
        return spec if spec and spec.seen_with and not self._held & set(spec.seen_with) else None

    def masks(self, field: str) -> bool:
        """Whether the actor sees of the field only the ends of its values."""
        spec = self._spec(field)
        private = spec.type in MASKED_TYPES if spec is not None else field in PRIVATE
        return private and Permission.PEOPLE_WRITE not in self._held

    def _spec(self, field: str) -> FieldSpec | None:
        owner, key, *_ = field.split(".")
        return self._specs.get(key) if owner == PERSON else None

    def sentence(self, tree: Mapping[str, Any]) -> Told:
        """One of the conditions given, in both languages, without what the actor may not ask; raises InvalidInput."""
        node = parse_tree(tree)
        return sentence(node, self._names, self.hidden(node))

    def condition(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """A condition with ``{"kind": "***"}`` in place of the leaves that the actor may not ask.

        One that can no longer be read is told whole to those from whom nothing is hidden, and else not at all.
        """
        try:
            hidden = self.hidden(tree)
        except ScrmError:
            unseen = any(self.out_of_sight(f"{PERSON}.{key}") for key in self._specs)
            return {} if unseen or self.masks(next(iter(PRIVATE))) else dict(tree)
        return _without(tree, hidden, "condition") if hidden else dict(tree)

    def facts(self, facts: Iterable[str]) -> list[str]:
        """Facts that rules read, without the fields that the actor does not see."""
        fields = [(fact, fact.removeprefix(FIELD_FACT)) for fact in facts]
        return [fact for fact, key in fields if fact == key or not self.out_of_sight(f"{PERSON}.{key}")]


def _readable(trees: Iterable[Mapping[str, Any]]) -> Iterator[Node]:
    for tree in trees:
        with suppress(ScrmError):
            yield parse_tree(tree)


def _without(raw: Mapping[str, Any], hidden: frozenset[str], path: str) -> dict[str, Any]:
    if path in hidden:
        return {
            key: HIDDEN if key == "kind" else raw[key] for key in ("kind", "schema_version") if key in raw
        }
    shown = dict(raw)
    for op in ("all", "any"):
        if op in raw:
            shown[op] = [_without(each, hidden, f"{path}.{op}.{i}") for i, each in enumerate(raw[op])]
    if "not" in raw:
        shown["not"] = _without(raw["not"], hidden, f"{path}.not")
    return shown


class Veil:
    """What an actor may read of the values of a condition's leaves.

    A leaf that the actor could not ask shows nothing; phones, addresses of all kinds and ids of persons are masked without
    ``people:write``.
    """

    def __init__(self, actor: Actor, tree: Node) -> None:
        self._reader = Reader(actor)
        self.hidden = self._reader.hidden(tree)
        self._of_relations = {
            each.path
            for leaf, each in tree.leaves()
            if own_value(leaf, each.args, utcnow(), actor.scope) is not None
        }
        self._fields = {
            each.path: str(each.args["field"]) for _, each in tree.leaves() if "field" in each.args
        }

    def kept(self, path: str, value: str | None) -> str | None:
        """As :meth:`shown`, of a value that was noted for everybody: nobody knows any more which relations it came from."""
        return HIDDEN if value and path in self._of_relations else self.shown(path, value)

    def shown(self, path: str, value: str | None) -> str | None:
        """The value of the leaf at a path as the actor gets it."""
        if path in self.hidden:
            return HIDDEN
        field = self._fields.get(path)
        return masked(value) if value and field and self._reader.masks(field) else value

    def holds(self, path: str, holds: bool) -> bool | None:
        """The answer of the leaf at a path; None: the actor could not ask it."""
        return None if path in self.hidden else holds
