"""The timeline of a customer, the counters that a portrait shows, and computed traits of persons."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, Numeric, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model


class TimelineEntry(Model):
    """Something typed that happened to a customer. Partitioned by month; ``source_key`` makes it once only."""

    __tablename__ = "timeline"
    __table_args__ = (
        UniqueConstraint("customer_id", "source_key", "at"),
        Index(
            "ix_timeline_customer_id_at",
            "customer_id",
            "at",
            "id",
            postgresql_include=["kind", "staff_id"],  # entries that a filter passes over are not fetched
        ),
        {"postgresql_partition_by": "RANGE (at)", "info": {"detachable": True}},
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


class Trait(Model):
    """A figure of every person, worked out of events or order lines by its definition."""

    __tablename__ = "traits"

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    definition: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]  # the definition of this moment is worked out for everybody
    problem: Mapped[str | None]  # why it cannot be worked out any more; its values stay as they were
    created_at: Mapped[CreatedAt]


class TraitValue(Model):
    """What a trait is of a person; none where nothing fits its definition. One of the values is there.

    Worked out of rows that merges move, so merges do not move these.
    """

    __tablename__ = "trait_values"
    __table_args__ = (
        Index("ix_trait_values_person_id", "person_id"),
        Index("ix_trait_values_trait_id_value_num", "trait_id", "value_num", "person_id"),
    )

    trait_id: Mapped[int] = mapped_column(ForeignKey("traits.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value_num: Mapped[Decimal | None] = mapped_column(Numeric)
    value_text: Mapped[str | None]
    value_time: Mapped[datetime | None]
    value_list: Mapped[list[Any] | None]
    computed_at: Mapped[datetime]


class TraitWanted(Model):
    """To do: something that traits are worked out of changed. Only added and taken, so that nobody waits for anybody."""

    __tablename__ = "trait_wanted"

    id: Mapped[Id]
    person_id: Mapped[int]
    type_id: Mapped[int | None]  # of events; 0: orders; None: anything
    since: Mapped[CreatedAt]
