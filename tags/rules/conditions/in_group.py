"""Customers who are in a customer group now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, exists

from scrm.customers.models import Customer
from scrm.groups.models import GroupStay
from scrm.kernel.schemas import Schema
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed


class InGroup(Schema):
    """Arguments: any of these groups; without them, whichever group."""

    group_ids = ids_field(load_default=None, allow_none=True)


def _reads(args: Args) -> set[str]:
    return {f"group:{group_id}" for group_id in args["group_ids"] or ()} or {"groups"}


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    stay = exists().where(GroupStay.customer_id == Customer.id, GroupStay.left_at.is_(None))
    if args["group_ids"]:
        stay = stay.where(GroupStay.group_id.in_(args["group_ids"]))
    return stay.correlate(Customer)


def _words(args: Args, language: Language, names: Names) -> str:
    if not args["group_ids"]:
        return "在任一客户群中" if language == "zh" else "is in a customer group"
    groups = listed(args["group_ids"], "customer_groups", names)
    return f"在客户群{groups}中" if language == "zh" else f"is in the group {groups}"


LEAF = Leaf(
    kind="in_group",
    schema=InGroup,
    reads=_reads,
    clause=_clause,
    words=_words,
    refers={"group_ids": "customer_groups"},
)
