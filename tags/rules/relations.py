"""What conditions say about the relations of a customer: the present ones, active or half."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, func, literal_column

from scrm.customers.models import Customer, Follow

# Literals and not parameters: a partial or plain index must be usable in a prepared plan too.
LIVE: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'half'")]


def live_follow(*clauses: ColumnElement[bool]) -> ColumnElement[bool]:
    """The customer has a present relation (active or half) for which all ``clauses`` hold."""
    return (
        exists()
        .where(Follow.customer_id == Customer.id, Follow.status.in_(LIVE), *clauses)
        .correlate(Customer)
    )


def added_at() -> ColumnElement[Any]:
    """When the relation began: the full add, otherwise the half one."""
    return func.coalesce(Follow.added_at, Follow.half_added_at)
