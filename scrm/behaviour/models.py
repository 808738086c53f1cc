"""What people did (events of other systems): the kinds there are, the events, and how many a day.

Events are partitioned by the month of ``at``. Whether one is known is asked of ``event_keys``, which is not: the key of an
event is (source, source_id) alone, so one that is sent again with another time is the same event, and one whose month
was detached stays known.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.people.registry import person_table


class Unknown(StrEnum):
    """What becomes of a property that its type does not name."""

    REFUSE = "refuse"
    KEEP = "keep"


class EventType(Model):
    """A kind of event that other systems may send."""

    __tablename__ = "event_types"

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    properties: Mapped[list[Any]] = mapped_column(
        server_default=text("'[]'")
    )  # [{"key", "type": PropertyType, "name_zh", "name_en", "required"}]
    unknown_properties: Mapped[Unknown] = mapped_column(
        enum_text(Unknown), server_default=Unknown.REFUSE.value
    )
    retention_days: Mapped[int | None]  # None: kept for good
    on_timeline: Mapped[bool] = mapped_column(server_default=text("true"))
    archived_at: Mapped[datetime | None]  # no longer accepted; its events stay
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


@person_table("behaviour_events", "person_id")
class BehaviourEvent(Model):
    """Somebody did something at a moment. Partitioned by month.

    No foreign keys: they cost a fifth of the intake, and neither persons nor types are ever deleted.
    """

    __tablename__ = "behaviour_events"
    __table_args__ = (
        # type first: one type of everybody is one stretch of the index, and with both given it is as good as the other order
        Index("ix_behaviour_events_type_id_person_id_at", "type_id", "person_id", "at"),
        {"postgresql_partition_by": "RANGE (at)", "info": {"detachable": True}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    person_id: Mapped[int]
    type_id: Mapped[int]
    properties: Mapped[dict[str, Any]]
    source: Mapped[str]
    source_id: Mapped[str]


class EventKey(Model):
    """Where the event of this key is; makes an event once only."""

    __tablename__ = "event_keys"

    source: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[int]
    at: Mapped[datetime]


class EventDay(Model):
    """How many events of a type a person has on a day of the corp's zone; kept by the statement that stores events."""

    __tablename__ = "event_days"

    type_id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int]
