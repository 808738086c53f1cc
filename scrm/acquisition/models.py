"""Channel codes (渠道活码) and welcome messages (欢迎语)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class CodeState(StrEnum):
    """Where a channel code stands with WeCom."""

    PENDING = "pending"  # WeCom has not accepted it yet
    ACTIVE = "active"
    FAILED = "failed"
    DELETED = "deleted"


class ChannelCode(Model):
    """A contact way of ours: who scans it is told apart by ``state``, tagged and welcomed."""

    __tablename__ = "channel_codes"

    id: Mapped[Id]
    name: Mapped[str]
    state: Mapped[str] = mapped_column(unique=True)  # WeCom's state parameter, at most 30 characters
    status: Mapped[CodeState] = mapped_column(
        enum_text(CodeState), default=CodeState.PENDING, server_default=CodeState.PENDING
    )
    config_id: Mapped[str | None] = mapped_column(unique=True)
    qr_code: Mapped[str | None]
    staff_ids: Mapped[list[int]]
    tag_ids: Mapped[list[int]]
    welcome_id: Mapped[int | None] = mapped_column(ForeignKey("welcome_messages.id"))
    remark: Mapped[str | None]  # remark of the contact way itself, at most 30 characters
    skip_verify: Mapped[bool] = mapped_column(default=True, server_default="true")
    contact_type: Mapped[int]  # WeCom's type: 1 one member, 2 several; it cannot change
    version: Mapped[int] = mapped_column(
        default=1, server_default="1"
    )  # raised when WeCom has to hear of a change
    accepted: Mapped[dict[str, Any] | None]  # the fields WeCom holds; a difference from ours is sent
    effect_id: Mapped[int | None]  # the open call, if one is under way
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class ChannelAdd(Model):
    """A follow relation came through a channel code; remembered so that its tags are given once per add."""

    __tablename__ = "channel_adds"

    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), primary_key=True)
    channel_code_id: Mapped[int] = mapped_column(ForeignKey("channel_codes.id"), index=True)
    at: Mapped[datetime]  # of the add


class WelcomeMessage(Model):
    """What a new customer is told. The most particular one wins: channel code, then staff, then default."""

    __tablename__ = "welcome_messages"

    id: Mapped[Id]
    name: Mapped[str]
    text: Mapped[str | None]  # with {customer}, {staff}, {corp}
    attachments: Mapped[list[Any]]
    staff_ids: Mapped[list[int]]  # for customers of these staff; empty: only by channel code or default
    is_default: Mapped[bool] = mapped_column(default=False, server_default="false")
    enabled: Mapped[bool] = mapped_column(default=True, server_default="true")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class WelcomeOutcome(StrEnum):
    """What became of a welcome."""

    PLANNED = "planned"
    SENT = "sent"
    MISSED = "missed"
    SPARE = "spare"  # another code of the same add carries the welcome: the half add's, or another app's


class Welcome(Leased, Model):
    """One welcome owed to one new customer, with the reason when it was missed."""

    __tablename__ = "welcomes"
    __table_args__ = (
        Index("ix_welcomes_outcome_created_at", "outcome", "created_at"),
        Index(
            "ix_welcomes_unprepared",
            "id",
            postgresql_where=text("outcome = 'planned' AND effect_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), index=True)
    code_digest: Mapped[str] = mapped_column(unique=True)  # sha256 of the welcome code: one code, one welcome
    pending_code: Mapped[str | None]  # the welcome code, only until the effect that carries it is planned
    app: Mapped[str | None]
    welcome_id: Mapped[int | None]
    effect_id: Mapped[int | None] = mapped_column(index=True)
    outcome: Mapped[WelcomeOutcome] = mapped_column(enum_text(WelcomeOutcome))
    reason: Mapped[str | None]
    text_only: Mapped[bool] = mapped_column(default=False, server_default="false")
    event_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
