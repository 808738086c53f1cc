"""Customers who are in a customer group now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, column, exists, select, table

from scrm.customers.models import Customer
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.kernel.schemas import Schema
from tags.rules.leaf_values import groups_value
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed
from tags.rules.windows import WindowField, leaving, window_words, within

# By name: group codes belong to a package further down the data's way, which this one must not import.
CODES = table("group_codes", column("id", BigInteger), column("state", Text))


class InGroup(Schema):
    """Arguments: any of these groups, owners and group codes, joined in that time; without them, whichever group."""

    group_ids = ids_field(load_default=None)
    owner_staff_ids = ids_field(load_default=None)
    group_code_ids = ids_field(load_default=None)
    joined = WindowField(load_default=None)


def _reads(args: Args) -> set[str]:
    return {f"group:{group_id}" for group_id in args["group_ids"] or ()} or {"groups"}


def _clauses(args: Args) -> list[Any]:
    found: list[Any] = [GroupStay.left_at.is_(None)]
    if args["group_ids"]:
        found.append(GroupStay.group_id.in_(args["group_ids"]))
    if args["owner_staff_ids"]:
        owned = CustomerGroup.owner_staff_id.in_(args["owner_staff_ids"])
        found.append(GroupStay.group_id.in_(select(CustomerGroup.id).where(owned)))
    if args["group_code_ids"]:
        states = select(CODES.c.state).where(CODES.c.id.in_(args["group_code_ids"]))
        found.append(GroupStay.state.in_(states))
    return found


def _timed(args: Args, now: datetime) -> list[Any]:
    clauses = _clauses(args)
    if args["joined"]:
        clauses.append(within(GroupStay.joined_at, args["joined"], now))
    return clauses


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return exists().where(GroupStay.customer_id == Customer.id, *_timed(args, now)).correlate(Customer)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    known = GroupStay.customer_id.is_not(None)  # of members who are no customers it is empty
    return Customer.id.in_(select(GroupStay.customer_id).where(known, *_timed(args, now)))


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(GroupStay.joined_at, args["joined"], since, until)
    if crossed is None:
        return None
    return select(GroupStay.customer_id).where(GroupStay.customer_id.is_not(None), crossed, *_clauses(args))


def _words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    parts = [
        (window_words(args["joined"], language), "{}加入", "joined {}"),
        (listed(args["owner_staff_ids"] or (), "staff", names, language), "群主{}", "owned by {}"),
        (
            listed(args["group_code_ids"] or (), "group_codes", names, language),
            "通过群活码{}",
            "through group code {}",
        ),
    ]
    told = [(chinese if zh else english).format(value) for value, chinese, english in parts if value]
    groups = listed(args["group_ids"] or (), "customer_groups", names, language)
    if zh:
        return (f"在客户群{groups}中" if groups else "在任一客户群中") + (
            f"（{'，'.join(told)}）" if told else ""
        )
    return ", ".join([f"is in the group {groups}" if groups else "is in a customer group", *told])


LEAF = Leaf(
    kind="in_group",
    schema=InGroup,
    reads=_reads,
    clause=_clause,
    words=_words,
    refers={"group_ids": "customer_groups", "owner_staff_ids": "staff", "group_code_ids": "group_codes"},
    expires=_expires,
    over_all=_over_all,
    value=groups_value,
)
