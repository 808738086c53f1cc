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
    """A customer on a static list, and what put them there.

    Without foreign keys, which cost two thirds of putting a million customers on a list: rows are written only for
    customers and lists that are selected in the same statement, neither is ever deleted, and a list that is marked as
    deleted loses its rows.
    """

    __tablename__ = "audience_members"

    audience_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str]  # who did it: apikey:3 | import:7
    added_at: Mapped[datetime]


class FillState(StrEnum):
    """Where a copy onto a list stands."""

    QUEUED = "queued"  # who it holds for is to be worked out
    FILLING = "filling"  # that is fixed; they are put on the list part by part
    DONE = "done"
    FAILED = "failed"  # who was added stays on the list
    CANCELLED = "cancelled"  # likewise


class AudienceFill(Model):
    """A copy of many customers onto a list: who asked, for whom the condition held, and how far it is."""

    __tablename__ = "audience_fills"
    __table_args__ = (
        Index("ix_audience_fills_open", "id", postgresql_where=text("state IN ('queued', 'filling')")),
        Index("ix_audience_fills_audience_id_id", "audience_id", "id"),
    )

    id: Mapped[Id]
    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"))
    condition: Mapped[dict[str, Any]]
    confirm: Mapped[str | None]  # the token that says yes to what rules do about it
    scope_staff_ids: Mapped[list[int] | None]  # whose customers; empty column: everybody's
    state: Mapped[FillState] = mapped_column(
        enum_text(FillState), default=FillState.QUEUED, server_default=FillState.QUEUED
    )
    members: Mapped[bytes | None] = mapped_column(deferred=True)  # ids as a roaring bitmap, until it ends
    total: Mapped[int | None]  # of them
    done: Mapped[int] = mapped_column(default=0, server_default="0")  # of them, in order of their ids
    added: Mapped[int] = mapped_column(default=0, server_default="0")  # of those, who was not on the list
    error: Mapped[str | None]
    made_by: Mapped[str]
    frozen_at: Mapped[datetime | None]  # when PostgreSQL said for whom the condition holds
    finished_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


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


class ExportFormat(StrEnum):
    """What file is made."""

    CSV = "csv"
    XLSX = "xlsx"


class ExportState(StrEnum):
    """Where an export stands."""

    QUEUED = "queued"
    WRITING = "writing"  # who belongs is fixed; rows are read part by part
    READY = "ready"  # the file can be fetched
    FAILED = "failed"
    EXPIRED = "expired"  # the file is gone


class AudienceExport(Model):
    """A file of an audience's members: who asked, for which columns, how far it is, and how long it is kept."""

    __tablename__ = "audience_exports"
    __table_args__ = (
        Index("ix_audience_exports_open", "id", postgresql_where=text("state IN ('queued', 'writing')")),
        Index("ix_audience_exports_expires_at", "expires_at", postgresql_where=text("state <> 'expired'")),
    )

    id: Mapped[Id]
    audience_id: Mapped[int] = mapped_column(ForeignKey("audiences.id", ondelete="CASCADE"), index=True)
    audience_name: Mapped[str]
    format: Mapped[ExportFormat] = mapped_column(enum_text(ExportFormat))
    language: Mapped[str]  # of the header and of choices: zh | en
    columns: Mapped[list[str]]
    plain: Mapped[list[str]]  # of them, those that others would get masked
    masked: Mapped[list[str]]  # of them, those that are masked in the file
    hidden: Mapped[list[str]]  # of the masked, those of which nothing is shown
    scope_staff_ids: Mapped[list[int] | None]  # whose customers; empty column: everybody's
    state: Mapped[ExportState] = mapped_column(
        enum_text(ExportState), default=ExportState.QUEUED, server_default=ExportState.QUEUED
    )
    total: Mapped[int | None]  # members when they were fixed
    done: Mapped[int] = mapped_column(default=0, server_default="0")
    cursor: Mapped[int] = mapped_column(default=0, server_default="0")  # last customer id written
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")  # to make the file and keep it
    size: Mapped[int | None]  # bytes
    error: Mapped[str | None]
    made_by: Mapped[str]
    frozen_at: Mapped[datetime | None]  # when PostgreSQL said who belongs
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]


class ExportMember(Model):
    """Who is in an export that is being written; without foreign keys like :class:`AudienceMember`."""

    __tablename__ = "audience_export_members"

    export_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class ExportPart(Model):
    """Rows of an export that is being written, as JSON; the file is made of them at the end."""

    __tablename__ = "audience_export_parts"

    export_id: Mapped[int] = mapped_column(
        ForeignKey("audience_exports.id", ondelete="CASCADE"), primary_key=True
    )
    last_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # customer of the last row
    rows: Mapped[bytes]


class ExportUse(StrEnum):
    """What was done with an export."""

    REQUESTED = "requested"
    DOWNLOADED = "downloaded"
    DELETED = "deleted"


class ExportLog(Model):
    """Who asked for, fetched or deleted which file: kept when the file is long gone."""

    __tablename__ = "audience_export_log"

    id: Mapped[Id]
    export_id: Mapped[int]
    audience_id: Mapped[int]
    audience_name: Mapped[str]
    use: Mapped[ExportUse] = mapped_column(enum_text(ExportUse))
    by: Mapped[str]
    at: Mapped[datetime]
    rows: Mapped[int | None]
    columns: Mapped[list[str]]
    masked: Mapped[list[str]]
