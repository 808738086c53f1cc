"""Customer groups (客户群) and the stays of their members."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class GroupStatus(StrEnum):
    """Whether a group still exists."""

    NORMAL = "normal"
    DISMISSED = "dismissed"


class CustomerGroup(Model):
    """One customer group, with the fields of ``groupchat/get``."""

    __tablename__ = "customer_groups"
    __table_args__ = (
        Index(
            "ix_customer_groups_refresh",
            "refresh_wanted_at",
            postgresql_where=text("refresh_wanted_at IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    chat_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    notice: Mapped[str | None]
    owner_staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"), index=True)
    founded_at: Mapped[datetime | None]  # WeCom's create_time
    status: Mapped[GroupStatus] = mapped_column(
        enum_text(GroupStatus), default=GroupStatus.NORMAL, server_default=GroupStatus.NORMAL
    )
    dismissed_at: Mapped[datetime | None]
    member_version: Mapped[str | None]  # compared with LastMemVer before a delta is applied
    expected_version: Mapped[
        str | None
    ]  # CurMemVer of a change we could not apply; ``get`` may lag behind it
    expected_at: Mapped[datetime | None]  # time of the event that told it
    refresh_wanted_at: Mapped[datetime | None]
    refresh_after: Mapped[datetime | None]  # not before this: WeCom failed or may lag behind its own events
    refresh_attempts: Mapped[int] = mapped_column(
        default=0, server_default="0"
    )  # fetches that failed in a row
    refreshed_at: Mapped[datetime | None]
    refresh_failed: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class GroupStay(Model):
    """One stay of one person in one group, from join to leave; the present members have no ``left_at``.

    ``member_id`` is a userid or an external_userid; it is linked to a member of staff or a customer when known.
    """

    __tablename__ = "group_stays"
    __table_args__ = (
        UniqueConstraint("group_id", "member_id", "joined_at"),
        Index("ix_group_stays_present", "group_id", "member_id", postgresql_where=text("left_at IS NULL")),
        Index(
            "ix_group_stays_customer_id",
            "customer_id",
            "left_at",
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
        Index("ix_group_stays_member_id", "member_id"),
        Index("ix_group_stays_state", "state", "joined_at", postgresql_where=text("state IS NOT NULL")),
    )

    id: Mapped[Id]
    group_id: Mapped[int] = mapped_column(ForeignKey("customer_groups.id", ondelete="CASCADE"))
    member_id: Mapped[str]
    member_type: Mapped[int]  # 1 member of the corp, 2 external
    staff_id: Mapped[int | None]
    customer_id: Mapped[int | None]
    name: Mapped[str | None]
    group_nickname: Mapped[str | None]
    unionid: Mapped[str | None]
    join_scene: Mapped[int | None]  # 1 invited, 2 by link, 3 scanned the group's QR code
    invitor_userid: Mapped[str | None]
    state: Mapped[str | None]  # of the join way
    joined_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    quit_scene: Mapped[int | None]  # 0 left, 1 removed
    created_at: Mapped[CreatedAt]
