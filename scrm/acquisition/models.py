"""Channel codes (渠道活码), who came through them, and welcome messages (欢迎语)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased

EMPTY_ARRAY = text("'{}'")
EMPTY_JSON = text("'[]'::jsonb")


class CodeState(StrEnum):
    """Where a channel code stands with WeCom."""

    PENDING = "pending"  # WeCom has not accepted it yet
    ACTIVE = "active"
    FAILED = "failed"
    CLOSED = "closed"  # its time is over; scanning it leads nowhere
    MISSING = "missing"  # WeCom no longer knows it; a person decides whether to make it anew
    DELETED = "deleted"


class WhenOver(StrEnum):
    """What becomes of a code when its ``valid_until`` has passed."""

    CLOSE = "close"
    BACKUP = "backup"  # the backup staff take whoever still comes


class DutyReason(StrEnum):
    """Why exactly these members are shown to who scans."""

    USUAL = "usual"
    SLOT = "slot"
    DATE = "date"
    BACKUP = "backup"  # nobody of the roster can take anybody now
    KEPT = "kept"  # no backup either: WeCom wants at least one member, so the last list stays
    OVER = "over"  # the code's time is over, the backup staff serve


class ChannelCodeGroup(Model):
    """A folder of channel codes."""

    __tablename__ = "channel_code_groups"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # smaller is further up
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class ChannelCode(Model):
    """A contact way of ours: who scans it is told apart by ``state``, tagged, remarked and welcomed.

    ``slots`` and ``dates`` are rosters ``{"weekdays" or "first" and "last", "begin", "end", "staff_ids",
    "department_ids"}``, times as HH:MM; ``welcome_slots`` name a ``welcome_id`` in their place, ``accept_slots``
    nothing more.
    """

    __tablename__ = "channel_codes"
    __table_args__ = (
        Index("ix_channel_codes_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index(
            "ix_channel_codes_unread",
            "qr_next_at",
            postgresql_where=text("qr_code IS NOT NULL AND qr_content IS NULL"),
        ),
    )

    id: Mapped[Id]
    name: Mapped[str]
    group_id: Mapped[int | None] = mapped_column(
        ForeignKey("channel_code_groups.id", ondelete="SET NULL"), index=True
    )
    state: Mapped[str] = mapped_column(unique=True)  # WeCom's state parameter, at most 30 characters
    status: Mapped[CodeState] = mapped_column(
        enum_text(CodeState), default=CodeState.PENDING, server_default=CodeState.PENDING
    )
    config_id: Mapped[str | None] = mapped_column(unique=True)
    qr_code: Mapped[str | None]  # address of WeCom's picture
    qr_content: Mapped[str | None]  # what a scanner reads in it; empty until the picture was read
    qr_error: Mapped[str | None]
    qr_attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    qr_next_at: Mapped[datetime | None]

    # who serves
    staff_ids: Mapped[list[int]]
    department_ids: Mapped[list[int]] = mapped_column(default=list, server_default=EMPTY_ARRAY)
    use_party: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # WeCom expands departments
    slots: Mapped[list[Any]] = mapped_column(default=list, server_default=EMPTY_JSON)
    dates: Mapped[list[Any]] = mapped_column(default=list, server_default=EMPTY_JSON)
    backup_staff_ids: Mapped[list[int]] = mapped_column(default=list, server_default=EMPTY_ARRAY)
    daily_cap: Mapped[int | None]  # adds per member and day of the corp's zone
    caps: Mapped[list[Any]] = mapped_column(default=list, server_default=EMPTY_JSON)  # {"staff_id", "cap"}

    # what happens to who comes
    tag_ids: Mapped[list[int]]
    welcome_id: Mapped[int | None] = mapped_column(ForeignKey("welcome_messages.id"))
    welcome_slots: Mapped[list[Any]] = mapped_column(default=list, server_default=EMPTY_JSON)
    remark_rule: Mapped[str | None]  # template of the customer's remark: {name}, {code}, {date}, {staff}
    blocked_names: Mapped[list[str]] = mapped_column(default=list, server_default=EMPTY_ARRAY)

    # the contact way itself
    remark: Mapped[str | None]  # remark of the contact way itself, at most 30 characters
    skip_verify: Mapped[bool] = mapped_column(default=True, server_default="true")
    accept_slots: Mapped[list[Any]] = mapped_column(default=list, server_default=EMPTY_JSON)
    contact_type: Mapped[int]  # WeCom's type: 1 one member, 2 several; it cannot change
    is_temp: Mapped[bool] = mapped_column(default=False, server_default="false")
    expires_in: Mapped[int | None]  # seconds; only temporary ones
    chat_expires_in: Mapped[int | None]
    unionid: Mapped[str | None]
    valid_until: Mapped[datetime | None]
    when_over: Mapped[WhenOver] = mapped_column(
        enum_text(WhenOver), default=WhenOver.CLOSE, server_default=WhenOver.CLOSE
    )

    # what holds now
    on_duty: Mapped[list[int]] = mapped_column(default=list, server_default=EMPTY_ARRAY)
    on_duty_party: Mapped[list[int]] = mapped_column(default=list, server_default=EMPTY_ARRAY)
    duty_reason: Mapped[DutyReason | None] = mapped_column(enum_text(DutyReason))
    accepts_now: Mapped[bool] = mapped_column(default=True, server_default="true")
    check_at: Mapped[datetime | None]  # when this may be something else; empty: never by itself
    checked_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(
        default=1, server_default="1"
    )  # raised when WeCom has to hear of a change
    accepted: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True)
    )  # the fields WeCom holds; a difference from ours is sent
    accepted_at: Mapped[datetime | None]
    drift: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True)
    )  # {field: {"ours", "wecom"}} of what somebody changed at WeCom
    effect_id: Mapped[int | None]  # the open call, if one is under way
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AddKind(StrEnum):
    """How an add became known."""

    HALF = "half"  # the customer can chat, the member has not added back
    FULL = "full"
    SEEN = "seen"  # no callback told it; WeCom showed the relation with the code's state


class RemarkState(StrEnum):
    """Where the remark of a newcomer stands."""

    NONE = "none"
    WANTED = "wanted"  # waits until the relation and the customer's name are known
    PLANNED = "planned"
    KEPT = "kept"  # a person wrote one, or it was so already


class ChannelAdd(Model):
    """Somebody was told to have come through a channel code. Rows are facts; the last four columns follow from all
    facts of the relation, so that duplicates, late and reordered callbacks count the same."""

    __tablename__ = "channel_adds"
    __table_args__ = (
        UniqueConstraint("follow_id", "at", "kind"),
        Index("ix_channel_adds_channel_code_id_at", "channel_code_id", "at"),
        Index(
            "ix_channel_adds_remark_wanted",
            "id",
            postgresql_where=text("remark_state = 'wanted'"),
        ),
    )

    id: Mapped[Id]
    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"))
    channel_code_id: Mapped[int] = mapped_column(ForeignKey("channel_codes.id"))
    staff_id: Mapped[int] = mapped_column(server_default="0", index=True)
    at: Mapped[datetime]  # of the add
    kind: Mapped[AddKind] = mapped_column(
        enum_text(AddKind), default=AddKind.FULL, server_default=AddKind.FULL
    )
    remark_state: Mapped[RemarkState] = mapped_column(
        enum_text(RemarkState), default=RemarkState.NONE, server_default=RemarkState.NONE
    )
    counts: Mapped[bool] = mapped_column(
        default=True, server_default="true"
    )  # not the rest of an earlier add
    returns: Mapped[bool] = mapped_column(default=False, server_default="false")  # there was a loss before
    lost_at: Mapped[datetime | None]  # the first loss after it and before the next add that counts
    lost_by: Mapped[str | None]  # staff | customer | transfer


class ChannelLoss(Model):
    """A relation ended; kept for every relation, because its add may become known later."""

    __tablename__ = "channel_losses"

    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    by: Mapped[str] = mapped_column(primary_key=True)  # staff | customer | transfer


class ChannelDuty(Model):
    """Since when and until when WeCom gave a code's newcomers to a member."""

    __tablename__ = "channel_duties"
    __table_args__ = (
        Index(
            "uq_channel_duties_open",
            "channel_code_id",
            "staff_id",
            unique=True,
            postgresql_where=text("until_at IS NULL"),
        ),
        Index("ix_channel_duties_channel_code_id_from_at", "channel_code_id", "from_at"),
    )

    id: Mapped[Id]
    channel_code_id: Mapped[int] = mapped_column(ForeignKey("channel_codes.id"))
    staff_id: Mapped[int] = mapped_column(index=True)
    from_at: Mapped[datetime]
    until_at: Mapped[datetime | None]


class FoundWay(Model):
    """A contact way that WeCom showed and that is none of our codes; a person may adopt it."""

    __tablename__ = "found_contact_ways"

    id: Mapped[Id]
    config_id: Mapped[str] = mapped_column(unique=True)
    details: Mapped[dict[str, Any]]  # contact_way of get_contact_way
    gone_at: Mapped[datetime | None]  # WeCom no longer knows it
    channel_code_id: Mapped[int | None] = mapped_column(ForeignKey("channel_codes.id"))  # adopted as
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


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
    SUPPRESSED = "suppressed"  # the customer's name is on the code's block list
    SPARE = "spare"  # another code of the same add carries the welcome: the half add's, or another app's


class Welcome(Leased, Model):
    """One welcome owed to one new customer, with the reason when it was missed."""

    __tablename__ = "welcomes"
    __table_args__ = (
        Index("ix_welcomes_outcome_created_at", "outcome", "created_at"),
        Index("ix_welcomes_channel_code_id_event_at", "channel_code_id", "event_at"),
        Index(
            "ix_welcomes_unprepared",
            "id",
            postgresql_where=text("outcome = 'planned' AND effect_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), index=True)
    channel_code_id: Mapped[int | None] = mapped_column(ForeignKey("channel_codes.id"))
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
