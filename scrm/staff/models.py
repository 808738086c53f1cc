"""Members of the corp (员工) and departments, as WeCom tells them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt


class Staff(Model):
    """One member. ``userid`` is unique ignoring case (wecom-api.md section 1.5)."""

    __tablename__ = "staff"
    __table_args__ = (Index("uq_staff_userid_lower", text("lower(userid)"), unique=True),)

    id: Mapped[Id]
    userid: Mapped[str]
    name: Mapped[str | None]
    alias: Mapped[str | None]
    position: Mapped[str | None]
    status: Mapped[int | None]  # 1 active, 2 disabled, 4 not activated, 5 left
    main_department_id: Mapped[int | None]
    follows_customers: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # customer-contact feature
    feature_lost_at: Mapped[datetime | None]  # WeCom's list named them once and no longer does
    left_at: Mapped[datetime | None]
    told: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}"
    )  # column → when a callback told its value; the newest wins
    told_at: Mapped[datetime | None]  # newest contact event
    refreshed_at: Mapped[datetime | None]  # WeCom was asked; empty: ask it
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class StaffAlias(Model):
    """An earlier userid of a member (WeCom lets it change once), so that late events still find them."""

    __tablename__ = "staff_aliases"

    userid: Mapped[str] = mapped_column(primary_key=True)  # in lower case
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), index=True)


class Department(Model):
    """One department; ids are WeCom's own, the root is 1."""

    __tablename__ = "departments"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None]
    parent_id: Mapped[int | None]
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # WeCom's `order`, larger first
    told: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # as of a member
    told_at: Mapped[datetime | None]  # newest contact event
    doubtful: Mapped[bool] = mapped_column(default=False, server_default="false")  # ask WeCom
    deleted_at: Mapped[datetime | None]
    updated_at: Mapped[UpdatedAt]


class StaffDepartment(Model):
    """A member belongs to a department."""

    __tablename__ = "staff_departments"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    department_id: Mapped[int] = mapped_column(primary_key=True, index=True)
    is_leader: Mapped[bool] = mapped_column(default=False, server_default="false")
