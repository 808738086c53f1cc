"""Audiences (人群): saved condition trees and lists of customers, who changed them, and how they grew."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class AudienceKind(StrEnum):
    """What decides who belongs."""

    TREE = "tree"  # a condition, asked anew every time
    STATIC = "static"  # a list that people, imports and copies fill


class Audience(Model):
    """A named set of customers.

    ``version`` counts conditions; ``refers_to`` names the audiences that the condition names itself.
    """

    __tablename__ = "audiences"
    __table_args__ = (
        Index("uq_audiences_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[Id]
    kind: Mapped[AudienceKind] = mapped_column(enum_text(AudienceKind))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default="")
    condition: Mapped[dict[str, Any] | None]  # of a tree
    refers_to: Mapped[list[int]] = mapped_column(server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    made_by: Mapped[str]
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AudienceChange(Model):
    """Who changed what: field → [before, after]; of lists ``members`` → {"added", "removed", "source"}."""

    __tablename__ = "audience_changes"
    __table_args__ = (Index("ix_audience_changes_audience_id_id", "audience_id", "id"),)

    id: Mapped[Id]
    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"))
    version: Mapped[int]  # of the audience after the change
    by: Mapped[str]
    changes: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class AudienceMember(Model):
    """A customer on a static list, and what put them there."""

    __tablename__ = "audience_members"

    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[int] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    source: Mapped[str]  # apikey:3 | import:7 | audience:5 | condition
    added_at: Mapped[datetime]


class AudienceDay(Model):
    """How many belonged on one day of the corp's zone, and how many came and went since the look before it."""

    __tablename__ = "audience_days"

    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int | None]
    joined: Mapped[int | None]
    left: Mapped[int | None]
    since: Mapped[date | None]  # the day of the look before; none: this is the first
    problem: Mapped[str | None]  # why the look failed; then there are no counts
    version: Mapped[int]  # of the condition: another one explains a jump
    at: Mapped[datetime]


class AudienceSnapshot(Model):
    """Who belonged at the last look: ids of customers as a serialized roaring bitmap (CRoaring, 64 bits)."""

    __tablename__ = "audience_snapshots"

    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date]
    members: Mapped[bytes]
