"""What somebody gets to read of the values that leaves look at: what is masked in the view of a person is here too.

A count answers yes or no as well as a value does, so a condition may only ask what its author may read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrm.kernel.clock import utcnow
from scrm.kernel.errors import Forbidden
from scrm.kernel.permissions import Actor, Permission
from scrm.people.queries.fields import FieldSpec, field_specs
from scrm.people.queries.people import MASKED_TYPES, masked, seen_specs
from tags.rules.comparisons import PRESENCE
from tags.rules.leaf_values import own_value
from tags.rules.tree import Node, parse_tree

PERSON = "person"
PRIVATE = frozenset({"customer.unionid", "follow.remark_mobiles"})
"""Of what is no field of persons, what is masked without ``people:write``."""
HIDDEN = "***"
SHOWN_PARTS = frozenset({"country", "province", "city"})
"""Parts of an address that the view of a person does not mask."""


def refuse_unreadable(actor: Actor, tree: Mapping[str, Any], path: str = "condition") -> None:
    """Refuse a condition that asks about what its author may not read, which its count would tell.

    Of a field that needs a permission which is lacking nothing may be asked; of a masked value, whether there is one.

    :raises Forbidden: naming the first such leaf and the permission
    :raises InvalidInput: the condition is malformed
    """
    node = parse_tree(tree, path)
    veil = Veil(actor, node)
    for _, each in node.leaves():
        if wanted := veil.wanted(each.path, each.args.get("op", "")):
            where = f"{each.path}.field"
            problem = f"this key may not ask about {each.args['field']}: it needs {wanted}"
            raise Forbidden(f"{where}: {problem}", fields={where: problem})


class Veil:
    """What an actor may read of the values of a condition's leaves.

    A field that needs a permission the actor lacks shows only that there is a value; phones, addresses of all kinds and
    ids of persons are masked without ``people:write``.
    """

    def __init__(self, actor: Actor, tree: Node) -> None:
        self._plain = Permission.PEOPLE_WRITE in actor.permissions
        self._seen = seen_specs(actor).keys()
        self._specs = field_specs()
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
        if not value or path not in self._fields:
            return value
        if self._hidden(path) is not None:
            return HIDDEN
        return masked(value) if self._masked(path) else value

    def wanted(self, path: str, op: str) -> str | None:
        """The permission (one of several) that the actor lacks to ask the leaf at a path; None: it may be asked."""
        if path not in self._fields:
            return None
        if spec := self._hidden(path):
            return " or ".join(spec.seen_with)
        told = op in PRESENCE or self._fields[path].rpartition(".")[2] in SHOWN_PARTS
        return Permission.PEOPLE_WRITE if self._masked(path) and not told else None

    def _spec(self, path: str) -> FieldSpec | None:
        owner, key, *_ = self._fields[path].split(".")
        return self._specs.get(key) if owner == PERSON else None

    def _hidden(self, path: str) -> FieldSpec | None:
        spec = self._spec(path)
        return spec if spec is not None and spec.key not in self._seen else None

    def _masked(self, path: str) -> bool:
        spec = self._spec(path)
        private = spec.type in MASKED_TYPES if spec is not None else self._fields[path] in PRIVATE
        return private and not self._plain
