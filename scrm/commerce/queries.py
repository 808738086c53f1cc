"""Reading products and orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, exists, func, literal, select, true

from scrm.commerce.models import Order, OrderLine, OrderStatusChange, Product
from scrm.customers.models import Customer
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope
from scrm.people.models import CustomerPerson


def seen_orders(scope: Scope) -> ColumnElement[bool]:
    """Orders whose person is visible: one of their customers is."""
    if scope.everyone:
        return true()
    link = CustomerPerson
    mine = select(link.customer_id).join(Customer, Customer.id == link.customer_id)
    return exists(mine.where(link.person_id == Order.person_id, visible(scope)))


def order_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Orders, limited by person, status and source."""
    statement = select(Order).where(seen_orders(scope))
    for name in ("person_id", "status", "source"):
        if name in filters:
            statement = statement.where(getattr(Order, name) == filters[name])
    return statement


def order_whole(scope: Scope, order_id: int) -> Order:
    """One order with ``lines`` and ``history``.

    :raises NotFound: no such order, or outside the scope
    """
    order: Any = session().scalar(select(Order).where(Order.id == order_id, seen_orders(scope)))
    if order is None:
        raise NotFound(f"there is no order {order_id}, or it lies outside this key's data scope")
    lines = select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.line_no)
    steps = select(OrderStatusChange).where(OrderStatusChange.order_id == order_id)
    order.lines = list(session().scalars(lines))
    order.history = list(session().scalars(steps.order_by(OrderStatusChange.at)))
    found: Order = order
    return found


def product_list(filters: dict[str, Any]) -> Select[Any]:
    """Products, limited by source and category."""
    statement = select(Product)
    for name in ("source", "category"):
        if name in filters:
            statement = statement.where(getattr(Product, name) == filters[name])
    return statement


def product_by_id(product_id: int) -> Product:
    """One product; raises NotFound."""
    found = session().get(Product, product_id)
    if found is None:
        raise NotFound(f"there is no product {product_id}")
    return found


def buyers_of(product_ids: Iterable[int]) -> list[int]:
    """Persons with an order that has one of these products."""
    bought = exists().where(
        OrderLine.order_id == Order.id,
        OrderLine.product_id == func.any(literal(sorted(product_ids), ARRAY(BigInteger))),
    )
    people = select(Order.person_id).where(Order.person_id.is_not(None), bought).distinct()
    return [person_id for person_id in session().scalars(people) if person_id is not None]
