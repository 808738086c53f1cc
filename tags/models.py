"""Tags (标签), who has them and why, and the rules that set them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class Catalogued:
    """What tags and tag groups share. The columns say what WeCom has; ``pending`` what we asked it to change."""

    wecom_id: Mapped[str | None] = mapped_column(unique=True)  # empty until WeCom accepted it
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # WeCom's `order`, larger first
    pending: Mapped[dict[str, Any] | None]  # {"name"?, "position"?, "deleted"?} on its way to WeCom
    effect_id: Mapped[int | None]  # the call that carries it
    failed: Mapped[str | None]  # why WeCom refused the last change, errcode first
    confirmed_at: Mapped[datetime | None]  # WeCom last showed or accepted this; guards against older listings
    deleted_at: Mapped[datetime | None]


class Preference(StrEnum):
    """Whose tag stays where an exclusive group would hold two on one relation."""

    PEOPLE = "people"  # what a person, WeCom or a code set goes before what rules set
    RULES = "rules"


class Push(StrEnum):
    """Where the tags of a group live."""

    WECOM = "wecom"  # at WeCom too, within its 3,000 tags
    LOCAL = "local"  # here alone, beyond that limit; ``wecom_id`` is empty then


class TagGroup(Catalogued, Model):
    """A group of tags; ``switching`` while assignments follow a change of ``push``.

    Of an exclusive group (level, stage) a relation carries one tag at most; ``settled_until`` is the last relation that
    was looked at since the group became exclusive or the order of its rules changed, empty when all were.
    """

    __tablename__ = "tag_groups"
    __table_args__ = (
        Index("uq_tag_groups_name", "name", "push", unique=True, postgresql_where=text("deleted_at IS NULL")),
        CheckConstraint("push = 'wecom' OR wecom_id IS NULL", name="local_unknown_at_wecom"),
    )

    id: Mapped[Id]
    exclusive: Mapped[bool] = mapped_column(default=False, server_default="false")
    prefers: Mapped[Preference] = mapped_column(
        enum_text(Preference), default=Preference.PEOPLE, server_default=Preference.PEOPLE
    )
    settled_until: Mapped[int | None]
    push: Mapped[Push] = mapped_column(enum_text(Push), default=Push.WECOM, server_default=Push.WECOM)
    switching: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class Tag(Catalogued, Model):
    """One enterprise tag."""

    __tablename__ = "tags"
    __table_args__ = (
        Index(
            "uq_tags_group_name", "group_id", "name", unique=True, postgresql_where=text("deleted_at IS NULL")
        ),
    )

    id: Mapped[Id]
    group_id: Mapped[int] = mapped_column(ForeignKey("tag_groups.id"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class RefreshKind(StrEnum):
    """What a callback said changed."""

    TAG = "tag"
    GROUP = "tag_group"
    EVERYTHING = "everything"


class TagRefresh(Model):
    """A tag or group whose present state must be fetched from WeCom; deleted by a fetch begun after ``wanted_at``."""

    __tablename__ = "tag_refreshes"

    wecom_id: Mapped[str] = mapped_column(primary_key=True)  # empty for everything
    kind: Mapped[RefreshKind] = mapped_column(enum_text(RefreshKind))
    gone: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # a callback said it was deleted
    wanted_at: Mapped[datetime]


class PullState(StrEnum):
    """How a fetch of the tag list ended."""

    DONE = "done"
    FAILED = "failed"  # WeCom did not answer errcode 0: nothing was changed
    STOPPED = "stopped"  # more would have vanished than is believable at once


class TagPull(Model):
    """The report of one fetch of the tag list."""

    __tablename__ = "tag_pulls"

    id: Mapped[Id]
    state: Mapped[PullState] = mapped_column(enum_text(PullState))
    whole: Mapped[bool]  # everything, or only what callbacks named
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    seen: Mapped[int] = mapped_column(default=0, server_default="0")
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    gone: Mapped[int] = mapped_column(default=0, server_default="0")
    error: Mapped[str | None]


class AssignmentState(StrEnum):
    """Where an assignment stands with WeCom. Only ``active`` is a fact there, or here of a tag that is kept here alone."""

    PENDING_ADD = "pending_add"
    ACTIVE = "active"
    PENDING_REMOVE = "pending_remove"
    FAILED = "failed"  # WeCom refused; ``error`` says why
    REMOVED = "removed"


class TagAssignment(Model):
    """A follow relation carries a tag (WeCom keeps tags per member and customer).

    It stays as long as one source (``tag_sources``) wants it; a person may overrule a rule, whose source then remains
    on a removed row so that the rule does not set the tag again. The same happens to a tag that is ``outranked`` by another
    of its exclusive group; it comes back when the other goes. A customer *has* a tag when one of their assignments
    is ``pending_add`` or ``active``. While ``effect_id`` is set, a call is on its way; ``effect_adds`` says which way,
    and after a refusal what was refused.
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
            postgresql_where=text("state IN ('pending_add', 'pending_remove') AND effect_id IS NULL"),
        ),
        Index("ix_tag_assignments_effect_id", "effect_id", postgresql_where=text("effect_id IS NOT NULL")),
        Index("ix_tag_assignments_tag_id", "tag_id", postgresql_where=text("state <> 'removed'")),
        Index("ix_tag_assignments_outranked", "tag_id", postgresql_where=text("outranked")),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"))
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"))
    state: Mapped[AssignmentState] = mapped_column(enum_text(AssignmentState))
    effect_id: Mapped[int | None]  # the call that carries this change to WeCom
    effect_adds: Mapped[bool | None]  # what that call does: True adds, False removes
    # raised by each change: one call per intent
    version: Mapped[int] = mapped_column(default=0, server_default="0")
    outranked: Mapped[bool] = mapped_column(default=False, server_default="false")
    error: Mapped[str | None]
    changed_at: Mapped[datetime]  # an older look at WeCom says nothing about this row
    created_at: Mapped[CreatedAt]


class TagSource(Model):
    """Why an assignment is there: ``wecom``, ``manual:<actor>``, ``rule:<id>``, ``channel:<id>``.

    A ``spent`` one no longer wants the tag (the rule's days are over); it stays so that the rule does not set it again
    before its condition held anew.
    """

    __tablename__ = "tag_sources"
    __table_args__ = (
        Index("ix_tag_sources_source", "source", "assignment_id"),
        Index(
            "ix_tag_sources_rule_since",
            "source",
            "since",
            postgresql_where=text("source LIKE 'rule:%' AND spent_at IS NULL"),
        ),
    )

    assignment_id: Mapped[int] = mapped_column(
        ForeignKey("tag_assignments.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    spent_at: Mapped[datetime | None]


class TagSighting(Model):
    """WeCom showed a tag on a follow that we do not know yet; settled by the next fetch of the tag list."""

    __tablename__ = "tag_sightings"

    follow_id: Mapped[int] = mapped_column(ForeignKey("follows.id", ondelete="CASCADE"), primary_key=True)
    wecom_id: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]


class TagChange(StrEnum):
    """What a line of history says."""

    ADDED = "added"  # a source wanted the tag
    REMOVED = "removed"  # a source no longer wants it
    CONFIRMED = "confirmed"  # WeCom accepted
    REFUSED = "refused"  # WeCom did not
    OUTRANKED = "outranked"  # another tag of the exclusive group goes before this one
    RETURNED = "returned"  # the other one went
    EXPIRED = "expired"  # the rule's days are over


class TagHistory(Model):
    """Every change of an assignment: what, why, when.

    ``reason`` of a line in which a rule adds a tag: ``{"version", "leaves": {path: [holds, value?]}}`` as it was then.
    """

    __tablename__ = "tag_history"
    __table_args__ = (
        Index("ix_tag_history_customer_id_at", "customer_id", "at"),
        Index("ix_tag_history_run_id", "run_id", "id", postgresql_where=text("run_id IS NOT NULL")),
    )

    id: Mapped[Id]
    customer_id: Mapped[int]
    follow_id: Mapped[int]
    tag_id: Mapped[int]
    change: Mapped[TagChange] = mapped_column(enum_text(TagChange))
    source: Mapped[str]
    by: Mapped[str | None]  # who did it, when that was not the source itself
    error: Mapped[str | None]
    run_id: Mapped[int | None]
    reason: Mapped[dict[str, Any] | None]
    at: Mapped[datetime]


class RuleState(StrEnum):
    """Whether a rule works."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"


class Schedule(StrEnum):
    """When a rule looks at customers."""

    EVENTS = "events"  # as soon as a fact it reads changes
    DAILY = "daily"  # at everybody, once a day
    BOTH = "both"


class Rule(Model):
    """A tag rule; its condition tree and tags are those of its newest version.

    ``priority`` decides between tags of an exclusive group, the larger first. ``daily_at`` is HH:MM in the corp's zone,
    ``daily_next`` the moment of the next daily look.
    """

    __tablename__ = "rules"

    id: Mapped[Id]
    name: Mapped[str]
    state: Mapped[RuleState] = mapped_column(
        enum_text(RuleState), default=RuleState.DRAFT, server_default=RuleState.DRAFT
    )
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    schedule: Mapped[Schedule] = mapped_column(
        enum_text(Schedule), default=Schedule.EVENTS, server_default=Schedule.EVENTS
    )
    daily_at: Mapped[str | None]
    daily_next: Mapped[datetime | None]
    error: Mapped[str | None]  # why it was paused
    swept_until: Mapped[datetime | None]  # conditions on time were looked at again up to here
    expired_until: Mapped[datetime | None]  # tags whose days are over were taken away up to here
    deleted_at: Mapped[datetime | None]
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
    keep: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # keep tags when it no longer holds
    expire_after_days: Mapped[int | None]  # the rule no longer wants a tag so long after setting it
    restored_from: Mapped[int | None]  # the older version whose text this is
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RuleChange(Model):
    """Who changed what of a rule, its versions apart: name, state, priority, schedule."""

    __tablename__ = "rule_changes"

    id: Mapped[Id]
    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"), index=True)
    by: Mapped[str]
    changes: Mapped[dict[str, Any]]  # field → [before, after]
    at: Mapped[datetime]


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  # what it did until then stays
    UNDOING = "undoing"
    UNDONE = "undone"


class RunKind(StrEnum):
    """What a run does."""

    BACKFILL = "backfill"  # apply the rule to all customers
    DAILY = "daily"  # the same, because the rule says so once a day
    RETIRE = "retire"  # the rule was deleted: take its tags away


class RuleRun(Model):
    """One pass of one rule version over all customers; ``cursor`` is the last customer id done.

    While it is undone, ``cursor`` is the last line of history taken back. A paused run keeps its state.
    ``worked_seconds`` is the time spent on ``seen`` customers, which gives the rate.
    """

    __tablename__ = "rule_runs"
    __table_args__ = (
        Index(
            "uq_rule_runs_open",
            "rule_id",
            unique=True,
            postgresql_where=text("state IN ('queued', 'running', 'undoing')"),
        ),
    )

    id: Mapped[Id]
    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"), index=True)
    kind: Mapped[RunKind] = mapped_column(enum_text(RunKind))
    version: Mapped[int]
    state: Mapped[RunState] = mapped_column(enum_text(RunState))
    cursor: Mapped[int] = mapped_column(default=0, server_default="0")
    seen: Mapped[int] = mapped_column(default=0, server_default="0")
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    worked_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    paused_at: Mapped[datetime | None]
    started_by: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class RuleDue(Model):
    """Customers whose facts changed since the rules last looked, and which rules read those facts.

    Rows are only added and, once evaluated, deleted by id: writers never wait for each other, and a change that comes
    while a customer is evaluated is a row of its own.
    """

    __tablename__ = "rule_due"

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    rule_ids: Mapped[list[int]]
    since: Mapped[datetime]
