"""Group codes (群活码) and group entry welcomes (入群欢迎语)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class EntryState(StrEnum):
    """Where a group code or an entry welcome stands with WeCom."""

    PENDING = "pending"  # WeCom has not accepted it yet
    ACTIVE = "active"
    FAILED = "failed"  # WeCom refused it, or no longer has it
    DELETED = "deleted"


class GroupCode(Model):
    """A join way of ours: one QR code, and over time as many groups behind it as it takes."""

    __tablename__ = "group_codes"

    id: Mapped[Id]
    name: Mapped[str]
    state: Mapped[str] = mapped_column(unique=True)  # WeCom's state parameter, at most 30 characters
    status: Mapped[EntryState] = mapped_column(
        enum_text(EntryState), default=EntryState.PENDING, server_default=EntryState.PENDING
    )
    config_id: Mapped[str | None] = mapped_column(unique=True)
    qr_code: Mapped[str | None]  # address of WeCom's picture
    qr_content: Mapped[str | None]  # what a scanner reads in it; empty until the picture was read
    qr_error: Mapped[str | None]  # why it could not be read
    qr_wanted_at: Mapped[datetime | None]  # address or picture must still be read, from then on
    remark: Mapped[str | None]  # of the join way itself, at most 30 characters
    cap: Mapped[int]  # members at which a group is taken out, unless the group has its own
    auto_create_room: Mapped[bool] = mapped_column(default=False, server_default="false")
    room_base_name: Mapped[str | None]  # names of groups WeCom makes: this and a number
    room_base_id: Mapped[int | None]  # the first number
    tag_ids: Mapped[list[int]]  # for customers who join through it
    entry_welcome_id: Mapped[int | None] = mapped_column(ForeignKey("entry_welcomes.id"))
    full_at: Mapped[datetime | None]  # since when every group has reached its cap
    version: Mapped[int] = mapped_column(default=1, server_default="1")  # raised with every call planned
    accepted: Mapped[dict[str, Any] | None]  # the fields WeCom holds; a difference from ours is sent
    accepted_at: Mapped[datetime | None]  # when that was learned; answers to older questions say nothing
    drifted_at: Mapped[datetime | None]  # a comparison showed that WeCom holds something else
    effect_id: Mapped[int | None]  # the open call, if one is under way
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class GroupSource(StrEnum):
    """How a group came to a code."""

    CHOSEN = "chosen"
    WECOM = "wecom"  # WeCom made it when the others were full


class GroupCodeGroup(Model):
    """One group behind a code. A row stays when the group is taken off, so that late news does not bring it back."""

    __tablename__ = "group_code_groups"

    group_code_id: Mapped[int] = mapped_column(
        ForeignKey("group_codes.id", ondelete="CASCADE"), primary_key=True
    )
    group_id: Mapped[int] = mapped_column(
        ForeignKey("customer_groups.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    position: Mapped[int]
    cap: Mapped[int | None]  # None: the code's
    source: Mapped[GroupSource] = mapped_column(enum_text(GroupSource))
    full_at: Mapped[datetime | None]  # reached its cap, and has not become clearly emptier since
    removed_at: Mapped[datetime | None]


class GroupCodeTagging(Model):
    """A relation got the code's tags for a stay that began then; the same stay does not give them again."""

    __tablename__ = "group_code_taggings"

    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), primary_key=True)
    group_code_id: Mapped[int] = mapped_column(
        ForeignKey("group_codes.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    joined_at: Mapped[datetime]


class EntryWelcome(Model):
    """A group welcome template of ours: what WeCom says to those who come into a group it is attached to."""

    __tablename__ = "entry_welcomes"

    id: Mapped[Id]
    name: Mapped[str]
    text: Mapped[str | None]  # at most 3000 bytes, %NICKNAME% is filled in by WeCom
    attachment: Mapped[dict[str, Any] | None]  # {"msgtype": "link", "link": {…}}
    notify: Mapped[bool] = mapped_column(default=True, server_default="true")  # WeCom tells members of it
    status: Mapped[EntryState] = mapped_column(
        enum_text(EntryState), default=EntryState.PENDING, server_default=EntryState.PENDING
    )
    template_id: Mapped[str | None] = mapped_column(unique=True)
    app: Mapped[str | None]  # the app that made it; no other may change it (41058)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    accepted: Mapped[dict[str, Any] | None]
    accepted_at: Mapped[datetime | None]
    drift: Mapped[list[str] | None]  # parts in which WeCom's differs from ours, when it was last compared
    effect_id: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class EntryWelcomeGroup(Model):
    """A group shall be welcomed with a template: its owner must attach it in the client, WeCom has no API for that."""

    __tablename__ = "entry_welcome_groups"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("customer_groups.id", ondelete="CASCADE"), primary_key=True
    )
    entry_welcome_id: Mapped[int] = mapped_column(
        ForeignKey("entry_welcomes.id", ondelete="CASCADE"), index=True
    )
    assigned_at: Mapped[datetime]
    told_staff_id: Mapped[int | None]  # the owner who was asked to attach it
    told_at: Mapped[datetime | None]
    attached_at: Mapped[datetime | None]  # somebody said that it is done
    attached_by: Mapped[str | None]
