"""Tags (标签), who has them and why, and the rules that set them."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class TagGroup(Model):
    """A group of enterprise tags. ``wecom_id`` is empty until WeCom accepted it."""

    __tablename__ = "tag_groups"

    id: Mapped[Id]
    wecom_id: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # WeCom's `order`, larger first
    deleted_at: Mapped[datetime | None]
    refresh_wanted_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class Tag(Model):
    """One enterprise tag."""

    __tablename__ = "tags"
    __table_args__ = (
        Index("uq_tags_group_name", "group_id", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[Id]
    wecom_id: Mapped[str | None] = mapped_column(unique=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("tag_groups.id"))
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    deleted_at: Mapped[datetime | None]
    failed: Mapped[str | None]  # why WeCom refused to create it, errcode first
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AssignmentState(StrEnum):
    """Where an assignment stands with WeCom. Only ``active`` is a fact there."""

    PENDING_ADD = "pending_add"
    ACTIVE = "active"
    PENDING_REMOVE = "pending_remove"
    FAILED = "failed"  # WeCom refused; ``error`` says why
    REMOVED = "removed"


class TagAssignment(Model):
    """A follow relation carries a tag (WeCom keeps tags per member and customer).

    It stays as long as one source (``tag_sources``) wants it. A customer *has* a tag when one of their assignments is
    ``pending_add`` or ``active``.
    """

    __tablename__ = "tag_assignments"
    __table_args__ = (
        UniqueConstraint("follow_id", "tag_id"),
        Index(
            "ix_tag_assignments_tag_customer",
            "tag_id",
            "customer_id",
            postgresql_where=text("state IN ('active', 'pending_add')"),
        ),
        Index("ix_tag_assignments_customer_id", "customer_id"),
        Index(
            "ix_tag_assignments_pending",
            "follow_id",
            postgresql_where=text("state IN ('pending_add', 'pending_remove')"),
        ),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"))
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"))
    state: Mapped[AssignmentState] = mapped_column(enum_text(AssignmentState))
    effect_id: Mapped[int | None]  # the call that carries this change to WeCom
    error: Mapped[str | None]
    changed_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]


class TagSource(Model):
    """Why an assignment is there: ``wecom``, ``manual:<actor>``, ``rule:<id>``, ``channel:<id>``."""

    __tablename__ = "tag_sources"

    assignment_id: Mapped[int] = mapped_column(ForeignKey("tag_assignments.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class TagHistory(Model):
    """Every change of an assignment: what, why, when."""

    __tablename__ = "tag_history"
    __table_args__ = (Index("ix_tag_history_customer_id_at", "customer_id", "at"),)

    id: Mapped[Id]
    customer_id: Mapped[int]
    follow_id: Mapped[int]
    tag_id: Mapped[int]
    change: Mapped[str]  # added | removed | confirmed | refused
    source: Mapped[str]
    run_id: Mapped[int | None]
    at: Mapped[datetime]


class RuleState(StrEnum):
    """Whether a rule works."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"


class Rule(Model):
    """A tag rule; its condition tree and tags are those of its newest version."""

    __tablename__ = "rules"

    id: Mapped[Id]
    name: Mapped[str]
    state: Mapped[RuleState] = mapped_column(
        enum_text(RuleState), default=RuleState.DRAFT, server_default=RuleState.DRAFT
    )
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    error: Mapped[str | None]  # why it was paused
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class RuleVersion(Model):
    """What a rule said at one version."""

    __tablename__ = "rule_versions"

    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    condition: Mapped[dict[str, Any]]
    reads: Mapped[list[str]]  # facts the tree looks at; a change of others does not wake the rule
    add_tag_ids: Mapped[list[int]]  # while the condition holds
    remove_tag_ids: Mapped[list[int]]  # own tags of this rule to take away while the condition holds
    keep: Mapped[bool] = mapped_column(default=False, server_default="false")  # keep tags when it no longer holds
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RunState(StrEnum):
    """Where a backfill stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


class RuleRun(Model):
    """One backfill of one rule version over all customers; ``cursor`` is the last customer id done."""

    __tablename__ = "rule_runs"

    id: Mapped[Id]
    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"), index=True)
    version: Mapped[int]
    state: Mapped[RunState] = mapped_column(enum_text(RunState))
    cursor: Mapped[int] = mapped_column(default=0, server_default="0")
    seen: Mapped[int] = mapped_column(default=0, server_default="0")
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class RuleDue(Model):
    """Customers whose facts changed since the rules last looked: the rules' own to-do list."""

    __tablename__ = "rule_due"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    facts: Mapped[list[str]]
    version: Mapped[int] = mapped_column(default=1, server_default="1")  # raised by each change; compared at the end
    since: Mapped[datetime] = mapped_column(index=True)
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]
