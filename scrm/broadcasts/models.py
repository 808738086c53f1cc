"""Broadcasts (群发): WeCom's mass sends to customers and to groups, with every recipient's fate.

docs/adr/0008-broadcast-states.md explains the states and who moves what.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class BroadcastKind(StrEnum):
    """Who receives."""

    CUSTOMERS = "customers"  # chat_type single
    GROUPS = "groups"  # chat_type group


class BroadcastState(StrEnum):
    """Where a broadcast stands. Changes by compare-and-set, never backwards."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PLANNING = "planning"  # the audience is being frozen
    SUBMITTING = "submitting"  # chunks go to WeCom
    PAUSED = "paused"  # no further chunk goes to WeCom
    OPEN = "open"  # WeCom has every chunk; staff are confirming; results are polled
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class TargetState(StrEnum):
    """What became of one recipient."""

    PLANNED = "planned"
    SUBMITTED = "submitted"  # WeCom accepted the task that names it
    REFUSED = "refused"  # in WeCom's fail_list, or the chunk was refused
    SENT = "sent"  # 1
    NOT_FRIEND = "not_friend"  # 2: failed, not a friend
    CAPPED = "capped"  # 3: failed, already received other mass messages
    NOT_SENT = "not_sent"  # the member never confirmed, or it was cancelled first
    SKIPPED = "skipped"  # nobody may send to it; ``reason`` says why


SENDER_CONFIRMED = 2
"""``sender_status`` of a member who has sent (wecom-api.md section 4.9, get_groupmsg_task); before that it is 0."""
REASON_CANCELLED = "cancelled"


class Broadcast(Model):
    """One broadcast, from draft to result."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        Index("ix_broadcasts_due", "send_at", postgresql_where=text("state = 'scheduled'")),
        Index("ix_broadcasts_state", "state"),
    )

    id: Mapped[Id]
    name: Mapped[str]
    kind: Mapped[BroadcastKind] = mapped_column(enum_text(BroadcastKind))
    state: Mapped[BroadcastState] = mapped_column(
        enum_text(BroadcastState), default=BroadcastState.DRAFT, server_default=BroadcastState.DRAFT
    )
    text: Mapped[str | None]
    attachments: Mapped[list[Any]]
    audience: Mapped[dict[str, Any]]  # a loaded schemas.AudienceSchema
    scope_staff_ids: Mapped[
        list[int] | None
    ]  # data scope of who made it; empty column: everybody's customers
    send_at: Mapped[datetime | None]  # empty: as soon as it is started
    started_at: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]
    submitted_at: Mapped[datetime | None]  # WeCom has answered for every chunk
    cancelled_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]  # no recipient's fate can change any more
    error: Mapped[str | None]  # why it failed or was paused by the program
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class BroadcastChunk(Leased, Model):
    """One mass-send task at WeCom: one sender, at most 10,000 customers or 2,000 groups.

    Waiting (no effect) → in flight (effect, no msgid) → accepted (msgid) → closed. ``next_at`` is the next poll.
    """

    __tablename__ = "broadcast_chunks"
    __table_args__ = (
        UniqueConstraint("broadcast_id", "sender_staff_id", "number"),
        Index(
            "ix_broadcast_chunks_poll",
            "next_at",
            postgresql_where=text("msgid IS NOT NULL AND closed_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    broadcast_id: Mapped[int] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"))
    sender_staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    number: Mapped[int]  # 1, 2, … per sender
    recipients: Mapped[int]
    submission: Mapped[int] = mapped_column(
        default=1, server_default="1"
    )  # raised when a pause took the call back
    effect_id: Mapped[int | None]  # the call that makes the task
    msgid: Mapped[str | None] = mapped_column(unique=True)
    accepted_at: Mapped[datetime | None]
    sender_status: Mapped[int | None]  # 0 the member has not confirmed, 2 sent
    sender_sent_at: Mapped[datetime | None]
    poll_cursor: Mapped[str | None]  # inside a pass over the results; empty text: first page
    polled_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]  # we want it stopped
    cancel_effect_id: Mapped[int | None]  # the call that stops it
    stopped_at: Mapped[datetime | None]  # WeCom confirmed that
    closed_at: Mapped[datetime | None]  # final: no more polling
    error: Mapped[str | None]  # last refusal by WeCom, errcode first


class BroadcastTarget(Model):
    """One recipient of one broadcast: exactly one row, whatever happens."""

    __tablename__ = "broadcast_targets"
    __table_args__ = (
        Index("ix_broadcast_targets_chunk_id", "chunk_id"),
        Index(
            "ix_broadcast_targets_customer_id",
            "customer_id",
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
        # every row changes two or three times and no index covers what changes: leave room for HOT updates
        {"postgresql_with": {"fillfactor": 70}},
    )

    broadcast_id: Mapped[int] = mapped_column(
        ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True
    )
    recipient: Mapped[str] = mapped_column(primary_key=True)  # external_userid or chat_id
    customer_id: Mapped[int | None]
    group_id: Mapped[int | None]
    sender_staff_id: Mapped[int | None]
    chunk_id: Mapped[int | None] = mapped_column(ForeignKey("broadcast_chunks.id", ondelete="CASCADE"))
    state: Mapped[TargetState] = mapped_column(enum_text(TargetState))
    reason: Mapped[str | None]
    sent_at: Mapped[datetime | None]
