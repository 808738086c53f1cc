"""External contacts (客户) and their follow relations with staff.

The status of a follow is not written by anyone: the database computes it from the newest times of what happened, so
that events may arrive twice, late or in any order and the result is the same.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class FollowStatus(StrEnum):
    """Where a follow relation stands."""

    UNKNOWN = "unknown"  # heard of, neither added nor confirmed by WeCom
    HALF = "half"  # the customer can chat, the member has not added back; WeCom shows no relation (84061)
    ACTIVE = "active"
    DELETED_BY_STAFF = "deleted_by_staff"  # the relation is gone at WeCom
    DELETED_BY_CUSTOMER = "deleted_by_customer"  # a one-way relation remains at WeCom


STATUS_SQL = """CASE
WHEN deleted_by_staff_at >= GREATEST(half_added_at, added_at, confirmed_at, '-infinity') THEN 'deleted_by_staff'
WHEN deleted_by_customer_at >= GREATEST(half_added_at, added_at, '-infinity') THEN 'deleted_by_customer'
WHEN half_added_at > GREATEST(added_at, confirmed_at, '-infinity') THEN 'half'
WHEN added_at IS NOT NULL THEN 'active'
ELSE 'unknown' END"""


class Customer(Model):
    """One external contact, with every field of ``externalcontact/get``."""

    __tablename__ = "customers"
    __table_args__ = (
        Index(
            "ix_customers_refresh",
            "refresh_wanted_at",
            postgresql_where=text("refresh_wanted_at IS NOT NULL"),
        ),
        Index("ix_customers_unionid", "unionid", postgresql_where=text("unionid IS NOT NULL")),
    )

    id: Mapped[Id]
    external_userid: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    avatar: Mapped[str | None]
    type: Mapped[int | None]  # 1 WeChat user, 2 WeCom user
    gender: Mapped[int | None]  # 0 unknown, 1 male, 2 female
    unionid: Mapped[str | None]
    position: Mapped[str | None]
    corp_name: Mapped[str | None]
    corp_full_name: Mapped[str | None]
    external_profile: Mapped[dict[str, Any] | None]
    refresh_wanted_at: Mapped[datetime | None]  # someone said the details changed; cleared by a later fetch
    refresh_after: Mapped[datetime | None]  # not before this: WeCom failed or may lag behind its own events
    refresh_attempts: Mapped[int] = mapped_column(
        default=0, server_default="0"
    )  # fetches that failed in a row
    refreshed_at: Mapped[datetime | None]
    refresh_failed: Mapped[str | None]  # why the last fetch failed, errcode first
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


Index(
    "ix_customers_name_prefix",
    func.lower(Customer.name).label("lower_name"),
    postgresql_ops={"lower_name": "text_pattern_ops"},  # serves LIKE 'start%' in any locale
)


class Follow(Model):
    """A member follows a customer: WeCom's ``follow_user``. Times only grow; see STATUS_SQL."""

    __tablename__ = "follows"
    __table_args__ = (
        UniqueConstraint("customer_id", "staff_id"),
        Index("ix_follows_staff_id_status", "staff_id", "status"),
        Index("ix_follows_state", "state", postgresql_where=text("state IS NOT NULL")),
        Index("ix_follows_added_at", "added_at"),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    status: Mapped[FollowStatus] = mapped_column(
        enum_text(FollowStatus), Computed(STATUS_SQL, persisted=True), nullable=False
    )

    half_added_at: Mapped[datetime | None]
    added_at: Mapped[datetime | None]  # newest of the add event's time and WeCom's createtime
    confirmed_at: Mapped[datetime | None]  # WeCom last showed this relation
    deleted_by_staff_at: Mapped[datetime | None]  # event time, or when WeCom no longer showed it
    deleted_by_customer_at: Mapped[datetime | None]
    add_event_at: Mapped[datetime | None]  # newest add, half or full, that a callback told
    state_at: Mapped[datetime | None]  # time of the add that carried ``state``
    delete_source: Mapped[str | None]  # DELETE_BY_TRANSFER
    transfer_failed_at: Mapped[datetime | None]
    transfer_fail_reason: Mapped[str | None]  # customer_refused | customer_limit_exceed

    remark: Mapped[str | None]
    description: Mapped[str | None]
    remark_corp_name: Mapped[str | None]
    remark_mobiles: Mapped[list[str] | None]
    add_way: Mapped[int | None]  # wecom-api.md section 4.1
    state: Mapped[str | None]  # of the contact way or acquisition link
    oper_userid: Mapped[str | None]
    wechat_channels: Mapped[dict[str, Any] | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


Index(  # holds all that a question about when present relations began reads, so that the table is left alone
    "ix_follows_begun",
    func.coalesce(Follow.added_at, Follow.half_added_at),
    postgresql_include=["customer_id", "added_at", "half_added_at"],
    postgresql_where=text("status IN ('active', 'half')"),
)
