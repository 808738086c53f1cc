"""The rows of an export: some thousands of customers by three or four statements, whatever their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, select, true

from scrm.audiences.queries.export_columns import Column, Shown, veiled
from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.people.models import CustomerPerson, PersonField
from scrm.people.queries.fields import FieldSpec, FieldType
from scrm.staff.models import Staff
from tags.arrays import is_one_of
from tags.models import Tag, TagAssignment
from tags.rules.holdings import HELD

PRESENT = (FollowStatus.ACTIVE, FollowStatus.HALF)
RELATIONS = frozenset({"members", "remarks", "remark_mobiles", "added_at"})
SEPARATOR = "、"
ADDRESS_PARTS = ("country", "province", "city", "district", "street", "postcode")
COARSE_PARTS = ADDRESS_PARTS[:3]  # what of an address may be shown masked
OWN_COLUMNS = (
    Customer.id, Customer.external_userid, Customer.name, Customer.type, Customer.gender, Customer.position,
    Customer.corp_name, Customer.corp_full_name, Customer.unionid, Customer.created_at,
)  # fmt: skip
Cell = str | None


def export_rows(
    customer_ids: Sequence[int],
    columns: Sequence[Column],
    shown: Mapping[str, Shown],
    scope: Scope,
    language: str,
) -> list[list[Cell]]:
    """One row a customer that still exists, by id, each cell as text (times in ISO 8601) and masked where it must be.

    :param scope: relations and tags of other members than these are left out
    """
    keys = {column.key for column in columns}
    own = select(*OWN_COLUMNS).where(is_one_of(Customer.id, customer_ids))
    customers = {row.id: row for row in session().execute(own)}
    relations = _relations(customer_ids, scope) if keys & RELATIONS else {}
    tags = _tags(customer_ids, scope) if "tags" in keys else {}
    fields = _fields(customer_ids, [column.spec for column in columns if column.spec is not None])

    def cell(column: Column, id_: int) -> Cell:
        how = shown[column.key]
        if column.spec is not None:
            return _field_cell(column.spec, fields.get((id_, column.spec.key)), how, language)
        if column.key in RELATIONS:
            return _relation_cell(column.key, relations.get(id_, ()), how)
        if column.key == "tags":
            return tags.get(id_)
        return _own_cell(customers[id_], column.key, how)

    return [[cell(column, id_) for column in columns] for id_ in sorted(customers)]


def _own_cell(customer: Any, key: str, how: Shown) -> Cell:
    value = getattr(customer, "id" if key == "customer_id" else key)
    if value is None:
        return None
    return veiled(value.isoformat() if key == "created_at" else str(value), how)


def _relations(customer_ids: Sequence[int], scope: Scope) -> dict[int, list[Any]]:
    """Present relations by customer, oldest first."""
    rows = session().execute(
        select(
            Follow.customer_id,
            Follow.remark,
            Follow.remark_mobiles,
            Follow.added_at,
            Staff.name,
            Staff.userid,
        )
        .join(Staff, Staff.id == Follow.staff_id)
        .where(is_one_of(Follow.customer_id, customer_ids), Follow.status.in_(PRESENT), _of_scope(scope))
        .order_by(Follow.added_at.nulls_last(), Follow.id)
    )
    return _grouped((row.customer_id, row) for row in rows)


def _of_scope(scope: Scope) -> Any:
    return true() if scope.everyone else is_one_of(Follow.staff_id, scope.staff_ids)


def _relation_cell(key: str, rows: Sequence[Any], how: Shown) -> Cell:
    if key == "added_at":
        return next((row.added_at.isoformat() for row in rows if row.added_at), None)
    told: dict[str, Callable[[Any], Iterable[str]]] = {
        "members": lambda row: [row.name or row.userid],
        "remarks": lambda row: [row.remark] if row.remark else [],
        "remark_mobiles": lambda row: row.remark_mobiles or [],
    }
    texts = dict.fromkeys(text for row in rows for text in told[key](row))
    return SEPARATOR.join(veiled(text, how) for text in texts) or None


def _tags(customer_ids: Sequence[int], scope: Scope) -> dict[int, str]:
    """Names of a customer's tags, in alphabetical order, in one text."""
    a = TagAssignment
    told = (
        select(a.customer_id, func.array_agg(Tag.name.distinct()).label("names"))
        .join(Tag, and_(Tag.id == a.tag_id, Tag.deleted_at.is_(None)))
        .join(Follow, Follow.id == a.follow_id)
        .where(is_one_of(a.customer_id, customer_ids), a.state.in_(HELD), _of_scope(scope))
        .group_by(a.customer_id)
    )
    return {row.customer_id: SEPARATOR.join(sorted(row.names)) for row in session().execute(told)}


def _fields(customer_ids: Sequence[int], specs: Sequence[FieldSpec]) -> dict[tuple[int, str], Any]:
    """(customer, field) → value of the customer's person."""
    if not specs:
        return {}
    rows = session().execute(
        select(CustomerPerson.customer_id, PersonField.field, PersonField.value)
        .join(PersonField, PersonField.person_id == CustomerPerson.person_id)
        .where(
            is_one_of(CustomerPerson.customer_id, customer_ids),
            PersonField.field.in_([spec.key for spec in specs]),
        )
    )
    return {(row.customer_id, row.field): row.value for row in rows}


def _field_cell(spec: FieldSpec, value: Any, how: Shown, language: str) -> Cell:
    if value in (None, "", [], {}):
        return None
    if how is Shown.HIDDEN:
        return veiled("", how)
    names = {choice["value"]: choice[language] for choice in spec.choices}
    if spec.type is FieldType.ADDRESS:
        parts = ADDRESS_PARTS if how is Shown.PLAIN else COARSE_PARTS
        return " ".join(str(value[part]) for part in parts if value.get(part)) or None
    if isinstance(value, list):
        return SEPARATOR.join(names.get(each, str(each)) for each in value)
    return veiled(names.get(value, str(value)) if isinstance(value, str) else str(value), how)


def _grouped(pairs: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found
