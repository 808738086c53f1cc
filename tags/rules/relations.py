"""What conditions say about the relations of a customer: present ones (active or half), and those that ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
)

from scrm.customers.models import Customer, Follow
from scrm.staff.models import Department

# Literals and not parameters: a partial or plain index must be usable in a prepared plan too.
LIVE: list[ColumnElement[str]] = [literal_column("'active'"), literal_column("'half'")]
BY_STAFF: ColumnElement[str] = literal_column("'deleted_by_staff'")
BY_CUSTOMER: ColumnElement[str] = literal_column("'deleted_by_customer'")
STATES: dict[str, list[ColumnElement[str]]] = {
    "present": LIVE,
    "active": LIVE[:1],
    "half": LIVE[1:],
    "lost": [BY_STAFF, BY_CUSTOMER],
    "deleted_by_staff": [BY_STAFF],
    "deleted_by_customer": [BY_CUSTOMER],
}


def live_follow(*clauses: ColumnElement[bool]) -> ColumnElement[bool]:
    """The customer has a present relation (active or half) for which all ``clauses`` hold."""
    return (
        exists()
        .where(Follow.customer_id == Customer.id, Follow.status.in_(LIVE), *clauses)
        .correlate(Customer)
    )


def one_of_live_follows(*clauses: ColumnElement[bool]) -> ColumnElement[bool]:
    """What :func:`live_follow` says, as a set that is worked out once; for questions about everybody."""
    return Customer.id.in_(select(Follow.customer_id).where(Follow.status.in_(LIVE), *clauses))


def added_at() -> ColumnElement[Any]:
    """When the relation began: the full add, otherwise the half one."""
    return func.coalesce(Follow.added_at, Follow.half_added_at)


def ended_at() -> ColumnElement[Any]:
    """When the relation ended, by whoever ended it; empty while it lasts."""
    return case(
        (Follow.status == BY_STAFF, Follow.deleted_by_staff_at),
        (Follow.status == BY_CUSTOMER, Follow.deleted_by_customer_at),
    )


def departments_below(department_ids: Sequence[int]) -> Select[Any]:
    """Ids of these departments and of all below them; a ring in the tree does no harm."""
    wanted = func.unnest(literal(list(department_ids), ARRAY(BigInteger))).column_valued("wanted")
    tree = select(wanted.label("id")).cte(recursive=True, nesting=True)
    below = select(Department.id).join(tree, Department.parent_id == tree.c.id)
    return select(tree.union(below).c.id)
