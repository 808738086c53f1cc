"""Fields of few values: who asks for one value gets the sets of all in the same pass over the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from pyroaring import BitMap64
from sqlalchemy import Select, func, select

from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import IN_BINARY, session
from scrm.people.models import CustomerPerson, PersonField
from scrm.people.queries.fields import FieldSpec, FieldType
from scrm.value.models import Lifecycle
from tags.arrays import is_one_of
from tags.rules.fields import PERSON, person_key
from tags.rules.relations import LIVE
from tags.rules.windows import FIRST_DAY
from tags.sets.service.asking import packed, unpacked
from tags.sets.service.normal_form import set_leaf, year_bounds

MOST_VALUES = 1_000  # with more, only the set that was asked for is worth asking for
COARSE = ("country", "province", "city", "district")  # parts of addresses that many share
OWN = {"customer.gender": Customer.gender, "customer.type": Customer.type}
NEXT_YEARS = 10
Value = int | str


@dataclass(frozen=True)
class Domain:
    """Leaves that differ in one value of a field.

    :param name: of the field; ``add_ways`` and ``stages`` stand for those arguments of their leaves
    :param yearly: of a field of days; the values are years
    """

    name: str
    yearly: bool = False

    def key(self, value: Value) -> str:
        """The key of the leaf with this value."""
        if self.name == "add_ways":
            return set_leaf({"kind": "follow", "add_ways": [value]}).key
        if self.name == "stages":
            return set_leaf({"kind": "stage", "stages": [value]}).key
        if self.yearly:
            within = {"op": "between", "values": [*year_bounds(int(value))]}
            return set_leaf({"kind": "field", "field": self.name, **within}).key
        return set_leaf({"kind": "field", "field": self.name, "op": "equals", "value": value}).key

    def base(self) -> list[str]:
        """Keys of leaves to ask for before anybody does: of each year, else of some value, which nobody need have.

        A question about days names many years, whether somebody has such a day or not.
        """
        if self.yearly:
            return [self.key(year) for year in range(FIRST_DAY.year, utcnow().year + NEXT_YEARS)]
        return [self.key(0 if self.name in OWN or self.name == "add_ways" else "-")]

    def sets(
        self, keys: Collection[str], customer_ids: Iterable[int] | None = None
    ) -> dict[str, BitMap64] | None:
        """The sets of all values that there are, by key, of years those from the first asked to the last.

        :param customer_ids: of these customers only
        :returns: None: there are too many values
        """
        value, customer, statement = self._rows()
        if self.yearly:
            statement = statement.where(PersonField.value_text.between(*_days(keys)))
        if customer_ids is not None:
            statement = statement.where(is_one_of(customer, customer_ids))
        grouped = statement.with_only_columns(value, packed(customer)).where(value.is_not(None))
        rows = (
            session().execute(grouped.group_by(value), execution_options=IN_BINARY).all()
        )  # a LIMIT would make PostgreSQL go row by row
        if len(rows) > MOST_VALUES:
            return None
        return {self.key(value): unpacked(ids) for value, ids in rows if not self.yearly or value.isdecimal()}

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
        rows = person.join(PersonField, same).where(PersonField.field == key)
        if self.yearly:
            value = func.substr(PersonField.value_text, 1, 4)
        return value, CustomerPerson.customer_id, rows


def _days(keys: Iterable[str]) -> tuple[str, str]:
    """The first and the last day of leaves of years."""
    named = [day for key in keys for day in orjson.loads(key)["values"]]
    return min(named), max(named)


@lru_cache(maxsize=10_000)
def _named(key: str) -> tuple[Domain, Value] | None:
    """Domain and value of a leaf that asks whether a field has one value, or is a day of one year."""
    leaf = orjson.loads(key)
    for kind, name in (("follow", "add_ways"), ("stage", "stages")):
        if leaf.keys() == {"kind", name} and leaf["kind"] == kind and len(leaf[name]) == 1:
            return Domain(name), leaf[name][0]
    if leaf["kind"] == "field" and leaf["op"] == "equals":
        return Domain(leaf["field"]), leaf["value"]
    if leaf["kind"] == "field" and leaf["op"] == "between" and isinstance(leaf["values"][0], str):
        year = int(leaf["values"][0][:4])
        return (Domain(leaf["field"], yearly=True), year) if leaf["values"] == [*year_bounds(year)] else None
    return None


def domain_of(key: str, specs: Mapping[str, FieldSpec]) -> Domain | None:
    """The domain that a leaf belongs to, if its field has few values.

    :param specs: the fields of persons
    """
    named = _named(key)
    if named is None or isinstance(named[1], bool) or not isinstance(named[1], (int, str)):
        return None
    domain = named[0]
    if domain in ALWAYS:
        return domain
    field, part = person_key(domain.name) if domain.name.startswith(PERSON) else ("", None)
    if part is not None:
        return domain if part in COARSE and not domain.yearly else None
    spec = specs.get(field) if field else None
    wanted = FieldType.DATE if domain.yearly else FieldType.CHOICE
    return domain if spec is not None and spec.type is wanted else None


def domains(specs: Mapping[str, FieldSpec]) -> list[Domain]:
    """All that there are.

    :param specs: the fields of persons
    """
    found = [*ALWAYS]
    for key, spec in specs.items():
        if spec.type is FieldType.ADDRESS:
            found += [Domain(f"{PERSON}{key}.{part}") for part in COARSE]
        if spec.type in (FieldType.CHOICE, FieldType.DATE):
            found.append(Domain(PERSON + key, yearly=spec.type is FieldType.DATE))
    return found


ALWAYS = tuple(map(Domain, (*OWN, "add_ways", "stages")))


def domain_sets(
    domain: Domain, keys: Collection[str], customer_ids: Iterable[int] | None = None
) -> dict[str, BitMap64] | None:
    """The sets of these leaves of a domain, and of its others; None: it has too many values."""
    found = domain.sets(keys, customer_ids)
    return None if found is None else {**dict.fromkeys(keys, BitMap64()), **found}
