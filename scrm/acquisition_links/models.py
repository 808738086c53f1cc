"""Acquisition links (获客链接): what we want, what WeCom holds, who came, and what WeCom told on the way."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class LinkState(StrEnum):
    """Where a link stands with WeCom."""

    PENDING = "pending"  # WeCom has not accepted it yet
    ACTIVE = "active"
    FAILED = "failed"
    DELETED = "deleted"


class AcquisitionLink(Model):
    """One link: customers who open it can add a member of its range."""

    __tablename__ = "acquisition_links"

    id: Mapped[Id]
    name: Mapped[str]
    link_id: Mapped[str | None] = mapped_column(unique=True)  # WeCom's, ca…
    url: Mapped[str | None]
    status: Mapped[LinkState] = mapped_column(
        enum_text(LinkState), default=LinkState.PENDING, server_default=LinkState.PENDING
    )
    staff_ids: Mapped[list[int]]
    department_ids: Mapped[list[int]]
    skip_verify: Mapped[bool] = mapped_column(default=True, server_default="true")
    priority_type: Mapped[int | None]  # WeCom's priority_option
    priority_staff_ids: Mapped[list[int]]
    tag_ids: Mapped[list[int]]  # for who comes through it, whatever the channel
    adopted: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # not made by us: found at WeCom
    app: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    accepted: Mapped[dict[str, Any] | None]  # the fields WeCom holds; a difference from ours is sent
    accepted_at: Mapped[datetime | None]  # when that was learned; answers to older questions say nothing
    effect_id: Mapped[int | None]
    error: Mapped[str | None]
    made_at: Mapped[datetime | None]  # WeCom's create_time
    unavailable_at: Mapped[datetime | None]  # newest event that says it stopped working
    used_at: Mapped[datetime | None]  # newest event that shows it works
    mended_at: Mapped[datetime | None]  # WeCom took a change of ours
    gone_at: Mapped[datetime | None]  # newest event or reading that says it was deleted in the console
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class LinkChannel(Model):
    """A variant of a link: the same with ``customer_channel=<state>``, so that sources can be told apart."""

    __tablename__ = "link_channels"

    id: Mapped[Id]
    acquisition_link_id: Mapped[int] = mapped_column(
        ForeignKey("acquisition_links.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    state: Mapped[str] = mapped_column(unique=True)  # at most 64 bytes; WeCom cuts what is longer
    tag_ids: Mapped[list[int]]
    welcome_id: Mapped[int | None] = mapped_column(ForeignKey("welcome_messages.id", ondelete="SET NULL"))
    archived_at: Mapped[datetime | None]  # not offered any more; who still comes through it counts
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class LinkArrival(Model):
    """A follow relation came through a link; remembered so that its tags are given once per add."""

    __tablename__ = "link_arrivals"

    acquisition_link_id: Mapped[int] = mapped_column(
        ForeignKey("acquisition_links.id", ondelete="CASCADE"), primary_key=True
    )
    follow_id: Mapped[int] = mapped_column(
        ForeignKey("follows.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    link_channel_id: Mapped[int | None] = mapped_column(
        ForeignKey("link_channels.id", ondelete="SET NULL"), index=True
    )
    state: Mapped[str | None]
    at: Mapped[datetime]  # of the add
    chat_status: Mapped[int | None]  # as WeCom lists it: 0 no message, 1 sent, 2 unknown
    listed_at: Mapped[datetime | None]  # WeCom named it among the link's customers


class LinkEvent(Leased, Model):
    """One callback about links, once, whatever its order; a ChatKey is kept only until it was used."""

    __tablename__ = "link_events"
    __table_args__ = (
        Index("ix_link_events_link", "link_id", "change_type", "event_at"),
        Index("ix_link_events_state", "state", "event_at", postgresql_where=text("state IS NOT NULL")),
        Index("ix_link_events_chats", "id", postgresql_where=text("chat_key IS NOT NULL")),
        Index("ix_link_events_follow_id", "follow_id", postgresql_where=text("follow_id IS NOT NULL")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)  # digest of everything it says: told twice is one event
    change_type: Mapped[str]
    event_at: Mapped[datetime]
    link_id: Mapped[str | None]  # WeCom's; the link itself may become known later
    state: Mapped[str | None]
    follow_id: Mapped[int | None] = mapped_column(ForeignKey("follows.id", ondelete="SET NULL"))
    chat_key: Mapped[str | None]
    app: Mapped[str | None]
    received: Mapped[int | None]  # messages of the customer when the ChatKey was made
    chat_error: Mapped[str | None]  # why the ChatKey could not be used
    expires_at: Mapped[datetime | None]  # quota_expire_soon: when, and how much of the quota
    expiring: Mapped[int | None]
    created_at: Mapped[CreatedAt]


class LinkDay(Model):
    """What WeCom counted for one link on one day of the corp's zone."""

    __tablename__ = "link_days"

    acquisition_link_id: Mapped[int] = mapped_column(
        ForeignKey("acquisition_links.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    clicks: Mapped[int]
    new_customers: Mapped[int]
    fetched_at: Mapped[datetime]


class QuotaLevel(StrEnum):
    """How much is left."""

    OK = "ok"
    LOW = "low"  # below WeCom's own threshold of 20
    EXHAUSTED = "exhausted"


class QuotaReading(Model):
    """The quota as WeCom showed it at one moment; kept when something differs from the reading before."""

    __tablename__ = "quota_readings"

    id: Mapped[Id]
    at: Mapped[datetime] = mapped_column(index=True)
    confirmed_at: Mapped[datetime]  # last reading that showed the same
    total: Mapped[int]
    balance: Mapped[int]
    batches: Mapped[list[Any]]  # [{"expire_date": Unix seconds, "balance": number}]
    level: Mapped[QuotaLevel] = mapped_column(enum_text(QuotaLevel))


class ReadingKind(StrEnum):
    """What is read from WeCom."""

    LINKS = "links"
    QUOTA = "quota"
    STATISTICS = "statistics"
    CUSTOMERS = "customers"


class LinkReading(Model):
    """When something about links was last read from WeCom, and why it failed when it did."""

    __tablename__ = "link_readings"

    kind: Mapped[ReadingKind] = mapped_column(enum_text(ReadingKind), primary_key=True)
    wanted_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None]
