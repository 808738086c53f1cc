"""The effect ledger: every change we ask WeCom for is a row first; and the times an API was left alone."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from config.queues import Queue
from scrm.kernel.db import CreatedAt, Id, Model, enum_text
from scrm.kernel.leases import Leased


class EffectState(StrEnum):
    """Where an effect stands. CONFIRMED, FAILED, EXPIRED and CANCELLED are final."""

    PLANNED = "planned"
    SENT = "sent"  # handed to a worker: from here on WeCom may have seen it
    CONFIRMED = "confirmed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # WeCom may or may not have accepted it; resolved by asking
    EXPIRED = "expired"  # its moment passed before it could be sent
    CANCELLED = "cancelled"


class Parked(StrEnum):
    """Why nothing more happens to an effect until a person says what."""

    EXHAUSTED = "exhausted"  # failed, its attempts are used up
    DEFECT = "defect"  # this program failed around the call
    UNTOLD = "untold"  # settled, but who should hear of it fails every time
    PERSON = "person"  # unknown, and WeCom cannot tell (any more)


class Priority(IntEnum):
    """Who goes first when WeCom's limits are short; smaller is sooner."""

    WELCOME = 0
    REPLY = 1
    TAG = 2
    BROADCAST = 3
    SYNC = 4


class Effect(Leased, Model):
    """One outbound change with its unique intent key."""

    __tablename__ = "effects"
    __table_args__ = (
        Index(
            "ix_effects_open",
            "queue",
            "priority",
            "id",
            postgresql_where=text("state IN ('planned', 'sent', 'unknown')"),
        ),
        Index("ix_effects_kind_state_errcode", "kind", "state", "errcode"),
        Index("ix_effects_failed", "errcode", "id", postgresql_where=text("state = 'failed'")),
        Index("ix_effects_parked", "id", postgresql_where=text("parked IS NOT NULL")),
        Index("ix_effects_tell_at", "queue", "tell_at", postgresql_where=text("tell_at IS NOT NULL")),
        Index("ix_effects_subject", "subject"),
        # What WeCom made belongs to one effect only: an unknown one cannot adopt another's by mistake.
        Index(
            "uq_effects_msgid",
            text("(result ->> 'msgid')"),
            unique=True,
            postgresql_where=text("kind = 'broadcast'"),
        ),
        Index(
            "uq_effects_config_id",
            text("(result ->> 'config_id')"),
            unique=True,
            postgresql_where=text("kind = 'add_contact_way'"),
        ),
        Index(
            "uq_effects_link_id",
            text("(result ->> 'link_id')"),
            unique=True,
            postgresql_where=text("kind = 'add_acquisition_link'"),
        ),
        Index("ix_effects_finished_at", "finished_at"),
    )

    id: Mapped[Id]
    kind: Mapped[str]  # mark_tag, welcome, broadcast, ...: one file each in scrm/wecom/kinds
    key: Mapped[str] = mapped_column(unique=True)
    app: Mapped[str]
    queue: Mapped[Queue] = mapped_column(enum_text(Queue))
    priority: Mapped[int]  # a Priority
    state: Mapped[EffectState] = mapped_column(
        enum_text(EffectState), default=EffectState.PLANNED, server_default=EffectState.PLANNED
    )
    payload: Mapped[dict[str, Any]]
    subject: Mapped[str | None]  # the row it is about, such as follow:12
    result: Mapped[dict[str, Any] | None]
    errcode: Mapped[int | None]
    error: Mapped[str | None]
    deadline_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    parked: Mapped[Parked | None] = mapped_column(enum_text(Parked))
    parked_at: Mapped[datetime | None]
    tellings: Mapped[int] = mapped_column(default=0, server_default="0")  # how often telling its end failed
    tell_at: Mapped[datetime | None]  # when its end is told again; set only after telling failed
    created_at: Mapped[CreatedAt]


class Circuit(Model):
    """A time in which an API was left alone because WeCom did not answer there; the newest rows are the present."""

    __tablename__ = "circuits"
    __table_args__ = (
        Index("uq_circuits_open", "api", "scope", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("ix_circuits_closed_at", "closed_at"),
    )

    id: Mapped[Id]
    api: Mapped[str]
    scope: Mapped[str]  # empty: the whole corp; otherwise the app WeCom counts for
    app: Mapped[str]  # the app whose call opened it
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
