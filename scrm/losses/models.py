"""Losses (流失): what is known of relations that began and ended, each loss worked out of it, and mass-delete alarms."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.customers.events import LostBy
from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class Turn(StrEnum):
    """What began or ended a relation."""

    ADDED = "added"
    HALF_ADDED = "half_added"
    TRANSFERRED = "transferred"  # deleted because the customer went to another member; no loss
    LOST_BY_STAFF = "lost_by_staff"
    LOST_BY_CUSTOMER = "lost_by_customer"


class RelationFact(Model):
    """A relation began or ended at a moment. A set: the same fact told twice, late or in any order is one row."""

    __tablename__ = "loss_facts"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), primary_key=True, index=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    turn: Mapped[Turn] = mapped_column(enum_text(Turn), primary_key=True)
    found: Mapped[bool]  # no callback told it; WeCom showed, or no longer showed, the relation when asked
    state: Mapped[str | None]  # of an add: the way in


class Contact(StrEnum):
    """Who spoke last."""

    CUSTOMER = "customer"
    STAFF = "staff"  # us: a servicer or the program


class Loss(Model):
    """A stay of a customer with a member that ended, by either side. The first end counts; transfers are none."""

    __tablename__ = "losses"
    __table_args__ = (
        UniqueConstraint("customer_id", "staff_id", "lost_at", deferrable=True, initially="DEFERRED"),
        Index("ix_losses_staff_id_lost_at", "staff_id", "lost_at"),
        Index("ix_losses_lost_at", "lost_at", "id"),
        Index(
            "ix_losses_deletions",
            "staff_id",
            "lost_at",
            "id",
            postgresql_where=text("lost_by = 'staff' AND NOT found"),
        ),
        Index("ix_losses_unjudged", "id", postgresql_where=text("judged_at IS NULL")),
        Index("ix_losses_state", "state", postgresql_where=text("state IS NOT NULL")),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    lost_by: Mapped[LostBy] = mapped_column(enum_text(LostBy))
    lost_at: Mapped[datetime]
    found: Mapped[bool]  # only a comparison with WeCom showed it; it happened some time before ``lost_at``
    added_at: Mapped[datetime | None]  # when the stay began; empty: nobody knows
    returned_at: Mapped[datetime | None]  # when the same member gained the customer again
    state: Mapped[str | None]  # of the channel code or acquisition link through which they came
    tags: Mapped[int] = mapped_column(default=0, server_default="0")  # when the loss became known
    others: Mapped[int] = mapped_column(default=0, server_default="0")  # other members who kept the customer
    last_contact_at: Mapped[datetime | None]  # newest message before the loss
    last_contact_by: Mapped[Contact | None] = mapped_column(enum_text(Contact))
    last_contact_staff_id: Mapped[int | None]
    judged_at: Mapped[datetime | None]  # alerts and alarms were considered
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class LossAlarm(Model):
    """A member deleted many customers within a short time. It lasts until a whole window passes without a deletion.

    The customers concerned are the losses of this member between ``first_at`` and ``last_at``.
    """

    __tablename__ = "loss_alarms"
    __table_args__ = (Index("ix_loss_alarms_staff_id_first_at", "staff_id", "first_at"),)

    id: Mapped[Id]
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    first_at: Mapped[datetime]  # first deletion of the window in which the number was reached
    crossed_at: Mapped[datetime]  # the deletion that reached it
    last_at: Mapped[datetime]
    deletions: Mapped[int]
    threshold: Mapped[int]  # what the configuration said then
    window_seconds: Mapped[int]
    doubtful: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # a deletion turned out other
    withdrawn_at: Mapped[
        datetime | None
    ]  # late facts say that there were fewer, or it is part of an earlier one
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    note: Mapped[str | None]  # of who acknowledged it
    created_at: Mapped[CreatedAt]
