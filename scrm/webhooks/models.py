"""Outgoing webhooks: where events go, the events themselves, and what became of each on its way to each endpoint."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class EndpointState(StrEnum):
    """Where an endpoint stands."""

    ACTIVE = "active"
    DISABLED = "disabled"  # ``reason`` says why; nothing is noted for it, what was open waits
    DELETED = "deleted"  # its row stays for the deliveries that name it


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    PERSON = "person"
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # it failed for ``webhooks.disable_days`` without one success


class Payload(StrEnum):
    """What deliveries to an endpoint carry."""

    THIN = "thin"  # ids and times
    FAT = "fat"  # also what is known of the customers and orders when it is sent: personal data


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # every retry was used up, or the endpoint is gone; it can be sent again by hand


class WebhookEndpoint(Model):
    """An address of another system that wants to hear of events."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[Id]
    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    event_types: Mapped[list[str]]  # names such as tag.given, families such as tag.*, or *
    payload: Mapped[Payload] = mapped_column(enum_text(Payload), server_default=Payload.THIN)
    max_per_second: Mapped[int | None]  # empty: no limit
    state: Mapped[EndpointState] = mapped_column(
        enum_text(EndpointState), server_default=EndpointState.ACTIVE
    )
    reason: Mapped[DisabledReason | None] = mapped_column(enum_text(DisabledReason))
    disabled_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")  # attempts in a row that failed
    failing_since: Mapped[datetime | None]  # the first failure after the last success
    resume_at: Mapped[datetime | None]  # left alone until then: its circuit is open, or it asked for it
    paced_until: Mapped[datetime | None]  # up to here its time is spent, at max_per_second
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class WebhookSecret(Model):
    """A secret that signs deliveries to one endpoint; sealed (scrm.kernel.sealing), shown once."""

    __tablename__ = "webhook_secrets"

    id: Mapped[Id]
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    sealed: Mapped[bytes]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]  # empty: the newest one, which signs until it is replaced


class WebhookEvent(Model):
    """Something that happened and that an endpoint wanted to hear of; ids only. ``id`` is the sequence receivers see."""

    __tablename__ = "webhook_events"
    __table_args__ = (Index("ix_webhook_events_noted_at", "noted_at"),)

    id: Mapped[Id]
    key: Mapped[uuid.UUID] = mapped_column(server_default=func.gen_random_uuid())  # of webhook-id
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    noted_at: Mapped[datetime]


class WebhookDelivery(Leased, Model):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("event_id", "endpoint_id"),
        Index(
            "ix_webhook_deliveries_failed",
            "endpoint_id",
            "event_id",
            postgresql_where=text("state = 'failed'"),
        ),
        Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
        Index(
            "ix_webhook_deliveries_waiting",
            "endpoint_id",
            "next_at",
            postgresql_where=text("state = 'pending'"),
        ),
    )

    id: Mapped[Id]
    event_id: Mapped[int] = mapped_column(ForeignKey("webhook_events.id", ondelete="CASCADE"))
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoints.id"))
    state: Mapped[DeliveryState] = mapped_column(
        enum_text(DeliveryState), server_default=DeliveryState.PENDING
    )
    tried_at: Mapped[datetime | None]  # the last attempt, as the next three
    status: Mapped[int | None]  # what the receiver answered; empty: nothing
    error: Mapped[str | None]  # why it was no success
    milliseconds: Mapped[int | None]
    tries: Mapped[list[Any]] = mapped_column(
        server_default=text("'[]'")
    )  # newest last: at, status, error, milliseconds
    finished_at: Mapped[datetime | None]
