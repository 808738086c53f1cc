"""Which tags a customer has: on any relation, accepted by WeCom or on the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, literal_column, select

from scrm.customers.models import Customer
from tags.models import Tag, TagAssignment

# Literals and not parameters: the partial index on these states must be usable in a prepared plan too.
HELD: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'pending_add'")]


def has_tags(tag_ids: Sequence[int], *clauses: Any) -> ColumnElement[bool]:
    """The customer has at least one of the tags, on an assignment for which ``clauses`` hold."""
    return has_assignment(TagAssignment.tag_id.in_(tag_ids), *clauses)


def has_tag_of_groups(group_ids: Sequence[int], *clauses: Any) -> ColumnElement[bool]:
    """The customer has at least one tag of the groups, on an assignment for which ``clauses`` hold."""
    tag_ids = select(Tag.id).where(Tag.group_id.in_(group_ids))
    return has_assignment(TagAssignment.tag_id.in_(tag_ids), *clauses)


def has_assignment(*clauses: Any) -> ColumnElement[bool]:
    """The customer holds an assignment for which ``clauses`` hold."""
    return (
        exists()
        .where(TagAssignment.customer_id == Customer.id, TagAssignment.state.in_(HELD), *clauses)
        .correlate(Customer)
    )
