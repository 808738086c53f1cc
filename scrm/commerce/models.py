"""Products and orders of other systems (mall, till, mini program), with every status an order went through."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.people.registry import person_table

MONEY_COLUMNS = ["amount", "currency"]
MONEY = Numeric(18, 4)  # four decimals are the most that any currency has (ISO 4217)


class OrderStatus(StrEnum):
    """What can become of an order, in the order that decides between two of the same moment."""

    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Product(Model):
    """Something that can be bought."""

    __tablename__ = "products"
    __table_args__ = (UniqueConstraint("source", "source_id"),)

    id: Mapped[Id]
    source: Mapped[str]
    source_id: Mapped[str]
    name: Mapped[str]
    category: Mapped[str | None]
    brand: Mapped[str | None]
    sku: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(MONEY)
    currency: Mapped[str | None]
    url: Mapped[str | None]
    on_sale: Mapped[bool] = mapped_column(server_default=text("true"))
    properties: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    version_at: Mapped[datetime]  # the source's time of what stands here; older rows change nothing
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


@person_table("orders", "person_id")
class Order(Model):
    """One order. Its status and times are worked out of ``order_statuses``; the rest is the newest version's.

    Before the first row with a body came, only statuses are known: ``person_id``, ``amount``, ``currency`` and
    ``version_at`` are empty.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        # With the money: sums of everybody's orders come from the index alone, in the order of persons.
        Index("ix_orders_person_id_placed_at", "person_id", "placed_at", postgresql_include=MONEY_COLUMNS),
        Index(
            "ix_orders_person_id_paid_at",
            "person_id",
            "paid_at",
            postgresql_where=text("paid_at IS NOT NULL"),
            postgresql_include=MONEY_COLUMNS,
        ),
        # Months that have orders of persons, and the orders of one of them.
        Index("ix_orders_placed_at", "placed_at", postgresql_where=text("person_id IS NOT NULL")),
    )

    id: Mapped[Id]
    person_id: Mapped[int | None]
    source: Mapped[str]
    source_id: Mapped[str]
    status: Mapped[OrderStatus] = mapped_column(enum_text(OrderStatus))  # of the newest status change
    status_at: Mapped[datetime]
    placed_at: Mapped[datetime]  # first `placed`, else the first change of all
    paid_at: Mapped[datetime | None]  # first of its kind, as the next three
    shipped_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]  # last of its kind
    amount: Mapped[Decimal | None] = mapped_column(
        MONEY
    )  # what the customer pays for all lines, before refunds
    refunded_amount: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    currency: Mapped[str | None]  # ISO 4217
    shop: Mapped[str | None]
    region: Mapped[str | None]
    seller: Mapped[str | None]
    version_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class OrderLine(Model):
    """One position of an order."""

    __tablename__ = "order_lines"
    __table_args__ = (
        Index("ix_order_lines_product_id", "product_id"),
        Index("ix_order_lines_unlinked", "product_ref", postgresql_where=text("product_id IS NULL")),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    line_no: Mapped[int] = mapped_column(primary_key=True)  # 1, 2, … as sent
    product_ref: Mapped[str]  # source_id of the product, of the order's source
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))  # once the product is known
    name: Mapped[str | None]  # as it was called then
    quantity: Mapped[Decimal] = mapped_column(MONEY)
    amount: Mapped[Decimal] = mapped_column(MONEY)  # of the whole line


class OrderStatusChange(Model):
    """An order reached a status at a moment; kept for good."""

    __tablename__ = "order_statuses"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    status: Mapped[OrderStatus] = mapped_column(enum_text(OrderStatus), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    received_at: Mapped[CreatedAt]
