"""The inbox: every callback WeCom sent, stored before it was answered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import Id, Model, enum_text
from scrm.kernel.leases import Leased


class InboxState(StrEnum):
    """Where a callback stands."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    IGNORED = "ignored"  # nothing was done; ``reason`` says why
    FAILED = "failed"  # will be tried again at next_at
    DEAD = "dead"  # all attempts failed; replay by hand


class Lane(StrEnum):
    """Which worker takes it."""

    URGENT = "urgent"  # carries a welcome code or a customer-service message: seconds matter
    EVENTS = "events"


class CallbackNotice(Model):
    """The newest word of WeCom that there is something to fetch: archived conversations, the result of a job.

    Whoever fetches it compares ``told_at`` with when they last asked. Of one app and subject the newest notice stays.
    """

    __tablename__ = "callback_notices"

    event: Mapped[str] = mapped_column(primary_key=True)
    app: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(
        primary_key=True
    )  # JobId; empty where the event is about the app alone
    told_at: Mapped[datetime]
    content: Mapped[dict[str, Any]]  # further fields of the event


class InboxRow(Leased, Model):
    """One callback; unique by the sha256 of its decrypted body (design.md section 3)."""

    __tablename__ = "callback_inbox"
    __table_args__ = (
        Index(
            "ix_callback_inbox_open",
            "lane",
            "id",
            postgresql_where=text("state IN ('received', 'processing', 'failed')"),
        ),
        Index("ix_callback_inbox_event", "event", "change_type"),
        Index(
            "ix_callback_inbox_received_at", "received_at", postgresql_using="brin"
        ),  # rows come in this order
    )

    id: Mapped[Id]
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    app: Mapped[str]
    lane: Mapped[Lane] = mapped_column(enum_text(Lane))
    state: Mapped[InboxState] = mapped_column(
        enum_text(InboxState), default=InboxState.RECEIVED, server_default=InboxState.RECEIVED
    )
    body: Mapped[str]  # decrypted XML
    received_at: Mapped[datetime]
    event: Mapped[str | None]  # filled when it is first worked on
    change_type: Mapped[str | None]
    event_at: Mapped[datetime | None]
    error: Mapped[str | None]
    reason: Mapped[str | None]  # why an ignored one was ignored (wecom_callbacks/reasons.py)
    replayed_at: Mapped[datetime | None]  # side effects whose moment has passed are skipped
    finished_at: Mapped[datetime | None]
