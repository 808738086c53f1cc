"""What a leaf looked at for a customer, as a short text to keep beside its answer; contents of messages never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, cast, func, literal, select

from scrm.customers.models import Customer, Follow
from scrm.groups.models import GroupStay
from scrm.people.models import CustomerPerson, PersonField
from tags.models import Tag, TagAssignment
from tags.rules.comparisons import Kind
from tags.rules.fields import FIELDS, person_key
from tags.rules.holdings import HELD
from tags.rules.leaves import Args
from tags.rules.relations import LIVE, added_at

LENGTH = 100  # characters of one value that are kept


def leaf_value(kind: str, args: Args) -> ColumnElement[Any] | None:
    """The value as a text of at most :data:`LENGTH` characters, correlated on ``customers``; NULL: there is none.

    None for kinds whose answer is all there is to say.
    """
    found = VALUES.get(kind)
    value = found(args) if found else None
    return None if value is None else func.left(cast(value, Text), LENGTH)


def _field(args: Args) -> ColumnElement[Any] | None:
    field = FIELDS.get(args["field"])
    if field is None:
        return _of_person(person_key(args["field"])[0])
    if field.of_customer:
        column: ColumnElement[Any] = field.column
        return column
    text = func.array_to_string(field.column, ",") if field.kind is Kind.LIST else cast(field.column, Text)
    return _of_relations(func.string_agg(text.distinct(), " | "))


def _of_person(key: str) -> ColumnElement[Any]:
    bare = PersonField.value.op("#>>")(literal([], ARRAY(Text)))  # a text without its quotes
    return (
        select(bare)
        .join(CustomerPerson, CustomerPerson.person_id == PersonField.person_id)
        .where(CustomerPerson.customer_id == Customer.id, PersonField.field == key)
        .limit(1)
        .correlate(Customer)
        .scalar_subquery()
    )


def _of_relations(value: Any) -> ColumnElement[Any]:
    present = Follow.customer_id == Customer.id, Follow.status.in_(LIVE)
    return select(value).where(*present).correlate(Customer).scalar_subquery()


def _tags(args: Args) -> ColumnElement[Any]:
    named = (
        Tag.id.in_(args["tag_ids"])
        if args.get("tag_ids")
        else Tag.group_id.in_(args.get("tag_group_ids") or ())
    )
    return (
        select(func.string_agg(cast(Tag.id, Text).distinct(), ","))
        .join(TagAssignment, TagAssignment.tag_id == Tag.id)
        .where(TagAssignment.customer_id == Customer.id, TagAssignment.state.in_(HELD), named)
        .correlate(Customer)
        .scalar_subquery()
    )


def _groups(args: Args) -> ColumnElement[Any]:
    return (
        select(func.string_agg(cast(GroupStay.group_id, Text).distinct(), ","))
        .where(GroupStay.customer_id == Customer.id, GroupStay.left_at.is_(None))
        .correlate(Customer)
        .scalar_subquery()
    )


def _follow(args: Args) -> ColumnElement[Any]:
    return _of_relations(func.max(added_at()))


VALUES: dict[str, Callable[[Args], ColumnElement[Any] | None]] = {
    "field": _field,
    "has_tag": _tags,
    "in_group": _groups,
    "follow": _follow,
}
