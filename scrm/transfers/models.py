"""Transfers (在职继承 on-job, 离职继承 resigned): who hands over whom to whom, and what became of each.

A **plan** says what one member hands over. Its **items** are the customers and groups, one row each whatever happens.
A **call** is one request to WeCom: one receiver, at most 100 items. A **watch** is what is asked afterwards, per pair of
members, until every item's fate is final.

WeCom keeps tags, remark and history per relation. The new relation starts without our enterprise tags: a plan with
``copy_tags`` sets them anew after the transfer, as ``transfer:<plan>``. Remarks are not copied: WeCom moves the
nickname itself where it does, and a receiver's own remark is worth more than the old one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.kernel.leases import Leased


class PlanKind(StrEnum):
    """Whether the member who hands over is still there."""

    ON_JOB = "on_job"
    RESIGNED = "resigned"


class Matter(StrEnum):
    """What is handed over."""

    CUSTOMERS = "customers"
    GROUPS = "groups"
    BOTH = "both"


class PlanState(StrEnum):
    """Where a plan stands. Changes by compare-and-set; DONE and CANCELLED are final."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"  # nothing further is asked; what WeCom has goes on
    DONE = "done"  # every item's fate is final
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """What became of one customer or group."""

    PLANNED = "planned"
    ASKED = "asked"  # in a call that WeCom has not answered yet
    WAITING = "waiting"  # WeCom took it on; customers have 24 hours to refuse
    DONE = "done"
    REFUSED = "refused"  # the customer refused; an active member keeps them
    LIMIT = "limit"  # the receiver can take no more
    FAILED = "failed"  # not possible; errcode and reason say why
    BACK = "back"  # a resigned member's, every receiver tried: a person has to decide
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why somebody is not handed over, or not yet."""

    HALF_RELATION = "half_relation"
    TOO_OFTEN = "too_often"
    IN_OTHER_PLAN = "in_other_plan"
    NO_RELATION = "no_relation"
    TRANSFERRED_ELSEWHERE = "transferred_elsewhere"
    NO_SHARE = "no_share"
    NO_RECEIVER = "no_receiver"
    RECEIVER_UNAVAILABLE = "receiver_unavailable"
    RECEIVER_FULL = "receiver_full"
    RECEIVER_LEFT = "receiver_left"
    RECEIVER_DISABLED = "receiver_disabled"
    RECEIVER_WITHOUT_FEATURE = "receiver_without_feature"
    REFUSED = "customer_refused"
    IN_TRANSFER = "in_transfer"
    NO_RECORD = "no_record"
    WECOM_REFUSED = "wecom_refused"
    UNKNOWN = "unknown"
    DAILY_LIMIT = "daily_limit"
    PLAN_CANCELLED = "plan_cancelled"
    TAKEN_OUT = "taken_out"
    GROUP_DISMISSED = "group_dismissed"
    MEMBER_LEFT = "member_left"


class Resolution(StrEnum):
    """Why a customer of a member who left is not unassigned any more."""

    TRANSFERRED = "transferred"
    FOUND_OWNER = "not_listed"  # WeCom listed it once and no longer does: assigned in the console, or ended
    NO_RELATION = "no_relation"  # WeCom said that there is nothing to hand over
    RETURNED = "returned"  # the member is back


OPEN_ITEMS = (ItemState.PLANNED, ItemState.ASKED, ItemState.WAITING)
_OPEN_SQL = "state IN ('planned', 'asked', 'waiting')"


class TransferPlan(Model):
    """What one member hands over, and by which rule."""

    __tablename__ = "transfer_plans"
    __table_args__ = (
        Index("ix_transfer_plans_from_staff_id", "from_staff_id"),
        Index("ix_transfer_plans_state", "state"),
    )

    id: Mapped[Id]
    kind: Mapped[PlanKind] = mapped_column(enum_text(PlanKind))
    state: Mapped[PlanState] = mapped_column(
        enum_text(PlanState), default=PlanState.DRAFT, server_default=PlanState.DRAFT
    )
    from_staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    matter: Mapped[Matter] = mapped_column(enum_text(Matter))
    rule: Mapped[dict[str, Any] | None]  # schemas.RuleSchema; empty: by hand, see TransferPair
    message: Mapped[str | None]  # told to on-job customers, at most 200 characters
    copy_tags: Mapped[bool] = mapped_column(default=False, server_default="false")
    automatic: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # made because a member left
    made_by: Mapped[str]
    error: Mapped[str | None]  # why the program paused or could not start it
    activated_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class TransferPair(Model):
    """By hand: this customer or group goes to that member."""

    __tablename__ = "transfer_pairs"
    __table_args__ = (
        UniqueConstraint("plan_id", "customer_id"),
        UniqueConstraint("plan_id", "group_id"),
    )

    id: Mapped[Id]
    plan_id: Mapped[int] = mapped_column(ForeignKey("transfer_plans.id", ondelete="CASCADE"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("customer_groups.id", ondelete="CASCADE"))
    to_staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))


class TransferItem(Model):
    """One customer or one group of one plan.

    ``to_staff_id`` is the present receiver; ``tried`` those who were asked for it before. What WeCom says about a
    receiver who is no longer the present one, or about a time before ``heard_at``, is old.
    """

    __tablename__ = "transfer_items"
    __table_args__ = (
        UniqueConstraint("plan_id", "customer_id"),
        UniqueConstraint("plan_id", "group_id"),
        # Nobody is handed over by two plans at once.
        Index(
            "uq_transfer_items_open_customer",
            "from_staff_id",
            "customer_id",
            unique=True,
            postgresql_where=text(_OPEN_SQL),
        ),
        Index(
            "uq_transfer_items_open_group",
            "group_id",
            unique=True,
            postgresql_where=text(f"group_id IS NOT NULL AND {_OPEN_SQL}"),
        ),
        Index("ix_transfer_items_plan_id_state", "plan_id", "state", "to_staff_id"),
        Index(
            "ix_transfer_items_pair",
            "from_staff_id",
            "to_staff_id",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_transfer_items_customer_id", "customer_id", "accepted_at"),
        Index("ix_transfer_items_call_id", "call_id"),
        Index(
            "ix_transfer_items_follow_up", "follow_up_at", postgresql_where=text("follow_up_at IS NOT NULL")
        ),
        Index("ix_transfer_items_tags", "id", postgresql_where=text("tags_wanted_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[Id]
    plan_id: Mapped[int] = mapped_column(ForeignKey("transfer_plans.id", ondelete="CASCADE"))
    from_staff_id: Mapped[int]
    to_staff_id: Mapped[int | None]
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("customer_groups.id", ondelete="CASCADE"))
    share: Mapped[int | None]  # which share of the rule it fell into, from 0
    state: Mapped[ItemState] = mapped_column(
        enum_text(ItemState), default=ItemState.PLANNED, server_default=ItemState.PLANNED
    )
    errcode: Mapped[int | None]  # of WeCom's last answer about it
    reason: Mapped[str | None]  # a Reason
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")  # calls that named it
    tried: Mapped[list[int]] = mapped_column(
        default=list, server_default="{}"
    )  # receivers it did not work with
    call_id: Mapped[int | None] = mapped_column(ForeignKey("transfer_calls.id", ondelete="SET NULL"))
    not_before: Mapped[datetime | None]  # planned, and asked at this time at the earliest
    asked_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]  # WeCom said that it began
    takeover_at: Mapped[datetime | None]  # when it takes effect, as WeCom tells
    seen_at: Mapped[datetime | None]  # begin of the last pass in which WeCom's results named it
    heard_at: Mapped[
        datetime | None
    ]  # newest news that ended a try; what happened before is not about this try
    settled_at: Mapped[datetime | None]
    possible_at: Mapped[datetime | None]  # when WeCom allows it again, after 40128
    tag_ids: Mapped[list[int] | None]  # what the old relation carried when it was asked, with copy_tags
    follow_up_at: Mapped[
        datetime | None
    ]  # done, and the relations are to be brought up to date; empty again after it
    tags_wanted_at: Mapped[datetime | None]  # the new relation shall get them; empty again when it has


class TransferCall(Model):
    """One request to WeCom; its effect's key is ``transfer:<plan>:<id>``, so every try has its own."""

    __tablename__ = "transfer_calls"
    __table_args__ = (
        Index("ix_transfer_calls_open", "plan_id", postgresql_where=text("settled_at IS NULL")),
    )

    id: Mapped[Id]
    plan_id: Mapped[int] = mapped_column(ForeignKey("transfer_plans.id", ondelete="CASCADE"))
    from_staff_id: Mapped[int]
    to_staff_id: Mapped[int]
    of_groups: Mapped[bool]
    items: Mapped[int]
    effect_id: Mapped[int | None]
    asked_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    errcode: Mapped[int | None]
    error: Mapped[str | None]


class TransferWatch(Leased, Model):
    """What is to be asked of WeCom about everything that goes from one member to another; ``next_at`` empty: nothing."""

    __tablename__ = "transfer_watches"
    __table_args__ = (
        UniqueConstraint("kind", "of_groups", "from_staff_id", "to_staff_id"),
        Index("ix_transfer_watches_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    id: Mapped[Id]
    kind: Mapped[PlanKind] = mapped_column(enum_text(PlanKind))
    of_groups: Mapped[bool]
    from_staff_id: Mapped[int]
    to_staff_id: Mapped[int]
    cursor: Mapped[str | None]  # inside a pass; empty: at its beginning
    pass_at: Mapped[datetime | None]  # when the running pass began
    polled_at: Mapped[datetime | None]  # when the last complete pass began
    passes: Mapped[int] = mapped_column(
        default=0, server_default="0"
    )  # complete ones since the last acceptance
    error: Mapped[str | None]


class UnassignedCustomer(Model):
    """A customer of a member who left, until somebody else has them or WeCom says that there is nothing to assign."""

    __tablename__ = "unassigned_customers"
    __table_args__ = (
        UniqueConstraint("staff_id", "customer_id"),
        Index("ix_unassigned_customers_open", "staff_id", postgresql_where=text("resolved_at IS NULL")),
        Index("ix_unassigned_customers_customer_id", "customer_id"),
    )

    id: Mapped[Id]
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    left_at: Mapped[datetime]  # WeCom's dimission_time, else when we learnt that the member left
    found_at: Mapped[datetime]
    listed_at: Mapped[
        datetime | None
    ]  # WeCom's list last showed it; empty: known from our own relations only
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]  # a Resolution


class TransferDefault(Model):
    """What happens when a member of this department (or of one below without its own line) leaves."""

    __tablename__ = "transfer_defaults"

    department_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rule: Mapped[dict[str, Any]]
    matter: Mapped[Matter] = mapped_column(enum_text(Matter))
    activate: Mapped[bool]  # the plan starts by itself
    copy_tags: Mapped[bool]
    made_by: Mapped[str]
    updated_at: Mapped[UpdatedAt]


class ClosedReceiver(Model):
    """A member whom WeCom lets take nobody for now (contacts full, not verified): not chosen until ``until``."""

    __tablename__ = "transfer_closed_receivers"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    errcode: Mapped[int]
    until: Mapped[datetime]
