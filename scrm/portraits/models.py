"""The timeline of a customer and the counters that a portrait shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import Model


class TimelineEntry(Model):
    """Something typed that happened to a customer. Partitioned by month; ``source_key`` makes it once only."""

    __tablename__ = "timeline"
    __table_args__ = (
        UniqueConstraint("customer_id", "source_key", "at"),
        Index("ix_timeline_customer_id_at", "customer_id", "at", "id"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    kind: Mapped[str]  # follow.added, follow.lost, group.joined, message.in, tag.added, welcome.sent, ...
    staff_id: Mapped[int | None]
    details: Mapped[dict[str, Any]]
    source_key: Mapped[str]


class CustomerCounters(Model):
    """Counts and last times per customer, kept beside the timeline in the same transaction."""

    __tablename__ = "customer_counters"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    messages_in: Mapped[int] = mapped_column(default=0, server_default="0")
    messages_out: Mapped[int] = mapped_column(default=0, server_default="0")
    last_in_at: Mapped[datetime | None]
    last_out_at: Mapped[datetime | None]
    entries: Mapped[int] = mapped_column(default=0, server_default="0")
    last_entry_at: Mapped[datetime | None]
