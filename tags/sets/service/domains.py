"""Fields of few values: who asks for one value gets the sets of all in the same pass over the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from pyroaring import BitMap64
from sqlalchemy import Select, func, select

from scrm.customers.models import Customer, Follow
from scrm.kernel.db import IN_BINARY, session
from scrm.people.models import CustomerPerson, PersonField
from scrm.people.queries.fields import FieldSpec, FieldType, field_specs
from scrm.value.models import Lifecycle
from tags.rules.fields import PERSON, person_key
from tags.rules.relations import LIVE
from tags.sets.service.asking import packed, unpacked
from tags.sets.service.normal_form import set_leaf

MOST_VALUES = 1_000  # with more, only the set that was asked for is worth asking for
COARSE = ("country", "province", "city", "district")  # parts of addresses that many share
OWN = {"customer.gender": Customer.gender, "customer.type": Customer.type}
Value = int | str


@dataclass(frozen=True)
class Domain:
    """Leaves that differ in one value of a field.

    :param name: of the field; ``add_ways`` and ``stages`` stand for those arguments of their leaves
    """

    name: str

    def key(self, value: Value) -> str:
        """The key of the leaf with this value."""
        if self.name == "add_ways":
            return set_leaf({"kind": "follow", "add_ways": [value]}).key
        if self.name == "stages":
            return set_leaf({"kind": "stage", "stages": [value]}).key
        return set_leaf({"kind": "field", "field": self.name, "op": "equals", "value": value}).key

    def one_key(self) -> str:
        """The key of a leaf with some value, which nobody need have."""
        return self.key(0 if self.name in OWN or self.name == "add_ways" else "-")

    def sets(self) -> dict[str, BitMap64] | None:
        """The sets of all values that there are, by key; None: there are too many."""
        value, customer, statement = self._rows()
        grouped = statement.with_only_columns(value, packed(customer)).where(value.is_not(None))
        rows = (
            session().execute(grouped.group_by(value), execution_options=IN_BINARY).all()
        )  # a LIMIT would make PostgreSQL go row by row
        if len(rows) > MOST_VALUES:
            return None
        return {self.key(value): unpacked(ids) for value, ids in rows}

    def _rows(self) -> tuple[Any, Any, Select[Any]]:
        """Value, customer and the rows that have both, as the leaf means them."""
        if self.name in OWN:
            return OWN[self.name], Customer.id, select(Customer.id)
        if self.name == "add_ways":
            return Follow.add_way, Follow.customer_id, select(Follow.id).where(Follow.status.in_(LIVE))
        person = select(CustomerPerson.customer_id)
        if self.name == "stages":
            same = Lifecycle.person_id == CustomerPerson.person_id
            return Lifecycle.stage, CustomerPerson.customer_id, person.join(Lifecycle, same)
        key, part = person_key(self.name)
        same = PersonField.person_id == CustomerPerson.person_id
        value = func.jsonb_extract_path_text(PersonField.value, part) if part else PersonField.value_text
        return (
            value,
            CustomerPerson.customer_id,
            person.join(PersonField, same).where(PersonField.field == key),
        )


@lru_cache(maxsize=10_000)
def _named(key: str) -> tuple[str, Any] | None:
    """Field and value of a leaf that asks whether a field has one value."""
    leaf = orjson.loads(key)
    for kind, name in (("follow", "add_ways"), ("stage", "stages")):
        if leaf.keys() == {"kind", name} and leaf["kind"] == kind and len(leaf[name]) == 1:
            return name, leaf[name][0]
    if leaf["kind"] == "field" and leaf["op"] == "equals":
        return leaf["field"], leaf["value"]
    return None


def domain_of(key: str, specs: Mapping[str, FieldSpec] | None = None) -> Domain | None:
    """The domain that a leaf belongs to, if its field has few values.

    :param specs: the fields of persons, for who asks about many leaves; else the database is asked where one is needed
    """
    named = _named(key)
    if named is None or isinstance(named[1], bool) or not isinstance(named[1], (int, str)):
        return None
    name = named[0]
    if name in OWN or name in ("add_ways", "stages"):
        return Domain(name)
    field, part = person_key(name) if name.startswith(PERSON) else ("", None)
    if part is not None:
        return Domain(name) if part in COARSE else None
    spec = (field_specs() if specs is None else specs).get(field) if field else None
    return Domain(name) if spec is not None and spec.type is FieldType.CHOICE else None


def domains(specs: Mapping[str, FieldSpec]) -> list[Domain]:
    """All that there are.

    :param specs: the fields of persons
    """
    names = [*OWN, "add_ways", "stages"]
    for key, spec in specs.items():
        if spec.type is FieldType.ADDRESS:
            names += [f"{PERSON}{key}.{part}" for part in COARSE]
        if spec.type is FieldType.CHOICE:
            names.append(PERSON + key)
    return [Domain(name) for name in names]


def domain_sets(domain: Domain, keys: Collection[str]) -> dict[str, BitMap64] | None:
    """The sets of these leaves of a domain, and of all its others; None: it has too many values."""
    found = domain.sets()
    return None if found is None else {**dict.fromkeys(keys, BitMap64()), **found}
