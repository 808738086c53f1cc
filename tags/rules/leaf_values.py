"""What a leaf looked at for a customer, as a short text to keep beside its answer; contents of messages never."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, cast, func, literal, select

from scrm.customers.models import Customer, Follow
from scrm.groups.models import GroupStay
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from scrm.people.models import CustomerPerson, PersonField
from tags.models import Tag, TagAssignment
from tags.queries import own_follow
from tags.rules.comparisons import Kind
from tags.rules.fields import FIELDS, person_key
from tags.rules.holdings import HELD
from tags.rules.leaves import Args, Leaf
from tags.rules.relations import LIVE, added_at

MINUTE = "YYYY-MM-DD HH24:MI"
EVERYBODY = Scope.all()
LENGTH = 100  # characters of one value that are kept


def leaf_value(leaf: Leaf, args: Args, now: datetime, scope: Scope) -> ColumnElement[Any] | None:
    """The value as a text of at most :data:`LENGTH` characters, correlated on ``customers``; NULL: there is none.

    None for kinds whose answer is all there is to say.

    :param scope: what comes from relations comes from those inside it
    """
    if leaf.value is None:
        return None
    own = own_value(leaf, args, now, scope)
    return func.left(cast(leaf.value(args, now) if own is None else own, Text), LENGTH)


def own_value(leaf: Leaf, args: Args, now: datetime, scope: Scope) -> ColumnElement[Any] | None:
    """The value as relations inside a limited scope have it; None: it is the same for everybody who may see the customer."""
    return leaf.own_value(args, now, scope) if leaf.own_value and not scope.everyone else None


def how_often(moment: Any) -> ColumnElement[str]:
    """The number of rows and the newest of their moments in the corp's zone: ``3 (2026-03-01 18:05)``; ``0`` of none."""
    newest = moment_told(func.max(moment))
    return cast(func.count(), Text) + func.coalesce(literal(" (", Text) + newest + literal(")", Text), "")


def moment_told(moment: Any) -> ColumnElement[str]:
    """A moment in the corp's zone, to the minute."""
    told: ColumnElement[str] = func.to_char(
        func.timezone(literal(str(settings().corp.zone), Text), moment), MINUTE
    )
    return told


def field_value(args: Args, now: datetime, scope: Scope = EVERYBODY) -> ColumnElement[Any]:
    """The field as it is: of relations, those of all present ones inside a scope."""
    field = FIELDS.get(args["field"])
    if field is None:
        return _of_person(person_key(args["field"])[0])
    if field.of_customer:
        column: ColumnElement[Any] = field.column
        return column
    text = func.array_to_string(field.column, ",") if field.kind is Kind.LIST else cast(field.column, Text)
    return _of_relations(func.string_agg(text.distinct(), " | "), scope)


def own_field_value(args: Args, now: datetime, scope: Scope) -> ColumnElement[Any] | None:
    """A field of relations as those inside a scope have it; None: a field of the customer or the person."""
    field = FIELDS.get(args["field"])
    return None if field is None or field.of_customer else field_value(args, now, scope)


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


def _of_relations(value: Any, scope: Scope) -> ColumnElement[Any]:
    present = Follow.customer_id == Customer.id, Follow.status.in_(LIVE), own_follow(scope)
    return select(value).where(*present).correlate(Customer).scalar_subquery()


def tags_value(args: Args, now: datetime, scope: Scope = EVERYBODY) -> ColumnElement[Any]:
    """Which of the tags the customer has on relations inside a scope, whoever set them."""
    named = (
        Tag.id.in_(args["tag_ids"])
        if args.get("tag_ids")
        else Tag.group_id.in_(args.get("tag_group_ids") or ())
    )
    held = (
        select(func.string_agg(cast(Tag.id, Text).distinct(), ","))
        .join(TagAssignment, TagAssignment.tag_id == Tag.id)
        .where(TagAssignment.customer_id == Customer.id, TagAssignment.state.in_(HELD), named)
    )
    if not scope.everyone:
        held = held.join(Follow, Follow.id == TagAssignment.follow_id).where(own_follow(scope))
    return held.correlate(Customer).scalar_subquery()


def groups_value(args: Args, now: datetime) -> ColumnElement[Any]:
    """The groups the customer is in."""
    return (
        select(func.string_agg(cast(GroupStay.group_id, Text).distinct(), ","))
        .where(GroupStay.customer_id == Customer.id, GroupStay.left_at.is_(None))
        .correlate(Customer)
        .scalar_subquery()
    )


def follow_value(args: Args, now: datetime, scope: Scope = EVERYBODY) -> ColumnElement[Any]:
    """When the newest present relation inside a scope began."""
    return _of_relations(moment_told(func.max(added_at())), scope)
