"""Messages of customers and staff, customer-service accounts and sessions, automatic replies."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class Channel(StrEnum):
    """Where a message was exchanged."""

    APP = "app"  # a member of staff writes to the app (wecom-api.md section 3.7)
    KF = "kf"  # a customer in WeChat customer service (section 7)


class Direction(StrEnum):
    """Who spoke."""

    IN = "in"  # from the person to us
    OUT = "out"  # from us, by a servicer or by the program
    EVENT = "event"  # something the platform reports inside a conversation


class Message(Model):
    """One message. Partitioned by month of ``sent_at``; unique by the platform's own id."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("channel", "message_key", "sent_at"),
        Index("ix_messages_customer_id_sent_at", "customer_id", "sent_at"),
        Index("ix_messages_staff_id_sent_at", "staff_id", "sent_at"),
        Index(
            "ix_messages_unanswered",
            "sent_at",
            postgresql_where=text("replied_at IS NULL AND direction = 'in' AND kind = 'text'"),
        ),
        Index(
            "ix_messages_strangers",
            "external_userid",
            postgresql_where=text("customer_id IS NULL AND external_userid IS NOT NULL"),
        ),
        Index(
            "ix_messages_fail_msgid",
            text("(content ->> 'fail_msgid')"),
            postgresql_where=text("kind = 'msg_send_fail'"),
        ),
        {"postgresql_partition_by": "RANGE (sent_at)"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    sent_at: Mapped[datetime] = mapped_column(primary_key=True)
    channel: Mapped[Channel] = mapped_column(enum_text(Channel))
    message_key: Mapped[str]  # MsgId, kf msgid, or our own idempotency key for what we send
    direction: Mapped[Direction] = mapped_column(enum_text(Direction))
    kind: Mapped[str]  # text, image, voice, ... as WeCom names it
    text: Mapped[str | None]
    media_id: Mapped[str | None]
    content: Mapped[dict[str, Any]]
    app: Mapped[str | None]
    customer_id: Mapped[int | None]
    external_userid: Mapped[str | None]  # kept when no customer is known by it
    staff_id: Mapped[int | None]
    kf_account_id: Mapped[int | None]
    replied_at: Mapped[datetime | None]  # automatic replies were considered
    failed: Mapped[str | None]  # why WeCom could not deliver it, or who took it back
    created_at: Mapped[CreatedAt]


class KfAccount(Leased, Model):
    """A customer-service account (客服账号) with the cursor up to which its messages are stored.

    One puller at a time: it holds the lease, and a page is written only where the cursor is still the one it asked with.
    """

    __tablename__ = "kf_accounts"

    id: Mapped[Id]
    open_kfid: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    avatar: Mapped[str | None]
    cursor: Mapped[str | None]
    pull_wanted_at: Mapped[datetime | None] = mapped_column(index=True)
    pull_token: Mapped[str | None]  # from the newest callback, valid 10 minutes
    pull_token_at: Mapped[datetime | None]  # that callback's own time
    called_at: Mapped[
        datetime | None
    ]  # newest callback's own time; its second is read once more when it is over
    granted_at: Mapped[datetime | None]  # WeCom last said or showed that our app may read it
    removed_at: Mapped[datetime | None]  # it was deleted or taken from our app; not read unless granted later
    pulled_at: Mapped[datetime | None]
    pull_failed: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class KfServicer(Model):
    """Who serves in an account: a member, or everybody of a department. Kept by the full sync."""

    __tablename__ = "kf_servicers"
    __table_args__ = (
        UniqueConstraint("kf_account_id", "staff_id", "department_id", postgresql_nulls_not_distinct=True),
        Index("ix_kf_servicers_staff_id", "staff_id", postgresql_where=text("staff_id IS NOT NULL")),
    )

    id: Mapped[Id]
    kf_account_id: Mapped[int] = mapped_column(ForeignKey("kf_accounts.id", ondelete="CASCADE"))
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    department_id: Mapped[int | None]
    status: Mapped[int | None]  # 0 serving, 1 stopped
    stop_type: Mapped[int | None]  # 0 stopped serving, 1 suspended
    updated_at: Mapped[UpdatedAt]


class KfSession(Model):
    """State of one customer in one account: WeCom lets us answer 48 hours and 5 messages (section 7.5)."""

    __tablename__ = "kf_sessions"
    __table_args__ = (
        UniqueConstraint("kf_account_id", "external_userid"),
        Index("ix_kf_sessions_strangers", "external_userid", postgresql_where=text("customer_id IS NULL")),
    )

    id: Mapped[Id]
    kf_account_id: Mapped[int] = mapped_column(ForeignKey("kf_accounts.id", ondelete="CASCADE"))
    external_userid: Mapped[str]
    customer_id: Mapped[int | None] = mapped_column(index=True)
    service_state: Mapped[int | None]  # 0 new, 1 assistant, 2 pool, 3 person, 4 ended
    servicer_staff_id: Mapped[int | None]
    last_customer_message_at: Mapped[datetime | None]
    answered_since: Mapped[int] = mapped_column(default=0, server_default="0")  # our messages since then
    updated_at: Mapped[UpdatedAt]


class MatchKind(StrEnum):
    """How a keyword is compared with a message."""

    CONTAINS = "contains"
    EXACT = "exact"
    STARTS_WITH = "starts_with"
    ENTERS = (
        "enters"  # the customer opened the conversation (进入会话); the keywords are scenes, none means all
    )


class AutoReply(Model):
    """A rule that answers by itself (自动回复): to a keyword, or to somebody who opens the conversation."""

    __tablename__ = "auto_replies"

    id: Mapped[Id]
    name: Mapped[str]
    channel: Mapped[Channel] = mapped_column(enum_text(Channel))
    match: Mapped[MatchKind] = mapped_column(enum_text(MatchKind))
    keywords: Mapped[list[str]]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # higher first
    enabled: Mapped[bool] = mapped_column(default=True, server_default="true")
    reply_text: Mapped[str | None]
    office_hours: Mapped[
        dict[str, Any] | None
    ]  # {"days": [1..7], "from": "09:00", "to": "18:00"} in the corp's zone
    outside_office_hours: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # fires only outside
    cooldown_seconds: Mapped[int] = mapped_column(default=0, server_default="0")  # per person
    hand_over_to: Mapped[str | None]  # "pool" or a userid: give the session to a person
    fallback_text: Mapped[str | None]  # said when nobody could take the session
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AutoReplyFiring(Model):
    """A rule answered a message; unique per message, so that a message is answered once."""

    __tablename__ = "auto_reply_firings"
    __table_args__ = (
        UniqueConstraint("channel", "message_key"),
        Index("ix_auto_reply_firings_cooldown", "auto_reply_id", "person", "fired_at"),
    )

    id: Mapped[Id]
    auto_reply_id: Mapped[int] = mapped_column(ForeignKey("auto_replies.id", ondelete="CASCADE"))
    channel: Mapped[Channel] = mapped_column(enum_text(Channel))
    message_key: Mapped[str]
    person: Mapped[str]  # external_userid or userid
    effect_id: Mapped[int | None] = mapped_column(index=True)
    failed: Mapped[str | None]  # why the answer or the hand-over did not come about, errcode first
    fired_at: Mapped[datetime]
