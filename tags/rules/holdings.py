"""Which tags a customer has: on any relation, accepted by WeCom or on the way there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, literal_column, select

from scrm.customers.models import Customer
from tags.models import Tag, TagAssignment

# Literals and not parameters: the partial index on these states must be usable in a prepared plan too.
HELD: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'pending_add'")]


Held = Callable[..., ColumnElement[bool]]


def has_assignment(*clauses: Any) -> ColumnElement[bool]:
    """The customer holds an assignment for which ``clauses`` hold."""
    return (
        exists()
        .where(TagAssignment.customer_id == Customer.id, TagAssignment.state.in_(HELD), *clauses)
        .correlate(Customer)
    )


def holds_assignment(*clauses: Any) -> ColumnElement[bool]:
    """What :func:`has_assignment` says, as a set that is worked out once; for questions about everybody."""
    ids = select(TagAssignment.customer_id).where(TagAssignment.state.in_(HELD), *clauses)
    return Customer.id.in_(ids)


def tags_of_groups(group_ids: Sequence[int]) -> Select[Any]:
    """Ids of the tags of these groups."""
    return select(Tag.id).where(Tag.group_id.in_(group_ids))
