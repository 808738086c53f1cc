"""How much of the values that leaves looked at somebody gets to read: what is masked in the view of a person is here too."""

from __future__ import annotations

from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Actor, Permission
from scrm.people.queries.fields import field_specs
from scrm.people.queries.people import MASKED_TYPES, masked, seen_specs
from tags.rules.leaf_values import own_value
from tags.rules.tree import Node

PERSON = "person"
PRIVATE = frozenset({"customer.unionid", "follow.remark_mobiles"})
"""Of what is no field of persons, what is masked without ``people:write``."""
HIDDEN = "***"


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
        field = self._fields.get(path)
        if not value or field is None:
            return value
        owner, key, *_ = field.split(".")
        spec = self._specs.get(key) if owner == PERSON else None
        if spec is not None and key not in self._seen:
            return HIDDEN
        private = spec.type in MASKED_TYPES if spec is not None else field in PRIVATE
        return masked(value) if private and not self._plain else value
