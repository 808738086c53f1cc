"""Which tags a customer has: on any relation, accepted by WeCom or on the way there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, literal_column

from scrm.customers.models import Customer
from tags.models import TagAssignment

# Literals and not parameters: the partial index on these states must be usable in a prepared plan too.
HELD: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'pending_add'")]


def has_tags(tag_ids: Sequence[int]) -> ColumnElement[bool]:
    """The customer has at least one of the tags."""
    return (
        exists()
        .where(
            TagAssignment.customer_id == Customer.id,
            TagAssignment.tag_id.in_(tag_ids),
            TagAssignment.state.in_(HELD),
        )
        .correlate(Customer)
    )
