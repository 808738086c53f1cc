"""Runs of the full sync, the pieces of work they consist of, and where answers wait until they are compared.

What WeCom answered is staged in UNLOGGED tables: a night's million rows need no place in the write-ahead log. Should
PostgreSQL crash they are empty afterwards; a part knows how many rows it staged, so that it is then read again.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import Base, CreatedAt, Id, Model, enum_text
from scrm.kernel.leases import Leased


class RunState(StrEnum):
    """Where a run stands. DONE, FAILED and CANCELLED are final."""

    READING = "reading"  # WeCom is asked, answers are staged
    COMPARING = "comparing"  # what is missing is found, and asked about once more
    APPLYING = "applying"
    WAITING_FOR_PERSON = "waiting_for_person"  # more would vanish than is believable: confirm or cancel
    DONE = "done"
    FAILED = "failed"  # nothing could be read
    CANCELLED = "cancelled"


OPEN = (RunState.READING, RunState.COMPARING, RunState.APPLYING, RunState.WAITING_FOR_PERSON)
AT_WORK = OPEN[:-1]


class RunKind(StrEnum):
    """Who wanted a run."""

    NIGHTLY = "nightly"
    MANUAL = "manual"


class RepairTags(StrEnum):
    """Whose tags of relations are mended where the two sides differ."""

    OURS = "ours"  # take what WeCom shows
    WECOM = "wecom"  # send what we hold
    NONE = "none"  # report only


class SyncRun(Model):
    """One pass over everything, or over some entities. At most one is open."""

    __tablename__ = "sync_runs"
    __table_args__ = (
        Index(
            "uq_sync_runs_open",
            text("(true)"),
            unique=True,
            postgresql_where=text("state IN ('reading', 'comparing', 'applying', 'waiting_for_person')"),
        ),
    )

    id: Mapped[Id]
    kind: Mapped[RunKind] = mapped_column(enum_text(RunKind))
    state: Mapped[RunState] = mapped_column(enum_text(RunState))
    by: Mapped[str]  # the actor
    entities: Mapped[list[str]]  # what was asked for: staff, customers, tags, ...
    members: Mapped[list[str]] = mapped_column(
        server_default="{}"
    )  # only their customers and groups; none: all
    dry_run: Mapped[bool] = mapped_column(default=False, server_default="false")
    repair_tags: Mapped[RepairTags] = mapped_column(enum_text(RepairTags))
    state_at: Mapped[datetime]  # when the state was entered
    planned_at: Mapped[datetime | None]  # everything is read and compared; the guard has looked
    expected: Mapped[int] = mapped_column(default=0, server_default="0")  # rows we hold: for the time left
    counts: Mapped[dict[str, Any] | None]  # the report, when it is over
    guard: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # entity → gone, of
    confirmed_by: Mapped[str | None]
    confirmed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class PartState(StrEnum):
    """Where a part stands. CLOSED, FAILED, SPLIT and CANCELLED are final."""

    WAITING = "waiting"  # to be read
    READ = "read"
    COMPARED = "compared"
    APPLIED = "applied"  # new and changed rows are written
    CLOSED = "closed"  # what is gone is written too
    FAILED = "failed"  # nothing was concluded from it
    SPLIT = "split"  # one of its members failed: each has a part of its own
    CANCELLED = "cancelled"


class SyncPart(Leased, Model):
    """A piece of work one worker can do: some members' customers, a list, some groups.

    The staged rows of a page and the cursor of the next are committed together, so that whoever takes over a killed
    worker's part goes on behind the last page.
    """

    __tablename__ = "sync_parts"
    __table_args__ = (
        Index(
            "ix_sync_parts_open",
            "run_id",
            "state",
            "stage",
            "id",
            postgresql_where=text("state IN ('waiting', 'read', 'compared', 'applied')"),
        ),
        Index("ix_sync_parts_run_id", "run_id", "entity"),
    )

    id: Mapped[Id]
    run_id: Mapped[int] = mapped_column(ForeignKey("sync_runs.id", ondelete="CASCADE"))
    entity: Mapped[str]
    stage: Mapped[int] = mapped_column(SmallInteger)  # parts of a lower stage are applied first
    state: Mapped[PartState] = mapped_column(enum_text(PartState))
    keys: Mapped[list[str]]  # members, or ids asked one by one
    cursor: Mapped[str] = mapped_column(default="", server_default="")
    pages: Mapped[int] = mapped_column(default=0, server_default="0")
    rows: Mapped[int] = mapped_column(default=0, server_default="0")  # staged
    applied_pages: Mapped[int] = mapped_column(default=0, server_default="0")
    started_at: Mapped[datetime | None]  # when its first question left
    errcode: Mapped[int | None]
    error: Mapped[str | None]
    failures: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")  # single keys
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # entity → counts


class SyncTouched(Model):
    """A customer whose facts a run changed; the rules get them in one batch at its end."""

    __tablename__ = "sync_touched"

    run_id: Mapped[int] = mapped_column(ForeignKey("sync_runs.id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[int] = mapped_column(primary_key=True)


class SyncMember(Model):
    """A member whose customers some run has read, or tried to; a new one gets a run of their own."""

    __tablename__ = "sync_members"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    tried_at: Mapped[datetime]


STAGED_FOLLOWS = Table(
    "sync_follows",
    Base.metadata,
    Column("part_id", BigInteger, nullable=False),
    Column("page", Integer, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("userid", Text, nullable=False),
    Column("external_userid", Text, nullable=False),
    Column("createtime", BigInteger, nullable=False),  # WeCom's seconds
    *(Column(name, Text) for name in ("name", "avatar")),
    *(Column(name, BigInteger) for name in ("type", "gender")),
    *(Column(name, Text) for name in ("unionid", "position", "corp_name", "corp_full_name")),
    Column("external_profile", JSONB),
    *(Column(name, Text) for name in ("remark", "description", "remark_corp_name")),
    Column("remark_mobiles", ARRAY(Text), nullable=False),
    Column("add_way", BigInteger),
    *(Column(name, Text) for name in ("state", "oper_userid")),
    Column("wechat_channels", JSONB),
    Column("tag_ids", ARRAY(Text)),  # NULL: WeCom did not show them
    Index("ix_sync_follows_part_id", "part_id", "page"),
    prefixes=["UNLOGGED"],
)
"""Relations with their customer as ``batch/get_by_user`` showed them."""

STAGED_ITEMS = Table(
    "sync_items",
    Base.metadata,
    Column("part_id", BigInteger, nullable=False),
    Column("page", Integer, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("entity", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Index("ix_sync_items_part_id", "part_id", "page"),
    Index("ix_sync_items_entity", "entity", "key"),
    prefixes=["UNLOGGED"],
)
"""Everything of which there are thousands, not millions."""

MISSING = Table(
    "sync_missing",
    Base.metadata,
    Column("part_id", BigInteger, nullable=False),
    Column("entity", Text, nullable=False),
    Column("subject", BigInteger, nullable=False),  # id of our row; 0 where its name is enough
    Column("key", Text, nullable=False),  # its name at WeCom
    Column("staff_id", BigInteger),
    Index("ix_sync_missing_part_id", "part_id", "entity"),
    Index("ix_sync_missing_staff_id", "staff_id", "key"),
    prefixes=["UNLOGGED"],
)
"""Rows of ours that WeCom no longer shows. Lost in a crash of PostgreSQL, nothing is called gone."""
