"""Messages from the program to members: each is a row until it went out, and stays as what was told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, enum_text


class AlertState(StrEnum):
    """Where an alert stands. All but PENDING are final, except that a failed effect sent again by hand makes it SENT."""

    PENDING = "pending"  # waits for others to come with, for the end of quiet hours, or for its effect
    SENT = "sent"
    FAILED = "failed"  # WeCom refused the message; ``reason`` says why
    EXPIRED = "expired"  # too old to be told any more
    SILENCED = "silenced"  # not sent on purpose: ``reason``: muted, left, no receiver, in an alarm, cancelled


class AlertEntry(Model):
    """One thing told to one member."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_key_receiver_id",
            "key",
            "receiver_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "ix_alerts_waiting",
            "receiver_id",
            "due_at",
            postgresql_where=text("state = 'pending' AND effect_id IS NULL"),
        ),
        Index("ix_alerts_told", "receiver_id", "told_at", postgresql_where=text("told_at IS NOT NULL")),
        Index("ix_alerts_effect_id", "effect_id", postgresql_where=text("effect_id IS NOT NULL")),
        Index("ix_alerts_created_at", "created_at"),
    )

    id: Mapped[Id]
    kind: Mapped[str]  # the family: loss, mass_delete, sync_stopped, ...
    key: Mapped[str]
    receiver_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))  # empty: there is nobody to tell
    zh: Mapped[str]
    en: Mapped[str]
    urgent: Mapped[bool] = mapped_column(default=False, server_default="false")
    state: Mapped[AlertState] = mapped_column(
        enum_text(AlertState), default=AlertState.PENDING, server_default=AlertState.PENDING
    )
    reason: Mapped[str | None]
    due_at: Mapped[datetime]  # not before this moment
    told_at: Mapped[datetime | None]  # when the message that carries it was planned
    effect_id: Mapped[int | None]
    tries: Mapped[int] = mapped_column(default=0, server_default="0")  # messages it was put into
    sent_at: Mapped[datetime | None]  # WeCom accepted it
    created_at: Mapped[CreatedAt]
