"""What a person is worth: RFM scores and lifecycle stages, worked out of paid orders.

None of these rows is told by anybody else, so merges do not move them: they are worked out again.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, Numeric, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model
from scrm.kernel.settings import corp_today


class Method(StrEnum):
    """Where the cut-points between scores come from."""

    QUANTILE = "quantile"  # of everybody who bought, worked out every night
    FIXED = "fixed"  # as set


class ValueSettings(Model):
    """What the company set; one row, none before the first setting (then the defaults hold)."""

    __tablename__ = "value_settings"
    __table_args__ = (CheckConstraint("id = 1", "one"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    rfm: Mapped[dict[str, Any] | None]
    stages: Mapped[list[Any] | None]
    changed_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]  # the change of this moment is worked in


class RfmScore(Model):
    """Of everybody with a paid order within the window. Scores are 1 (worst) to 5 (best).

    The day of the last order is kept, not how long ago it was: that moves with the clock and is worked out when asked.
    """

    __tablename__ = "rfm_scores"
    __table_args__ = (Index("ix_rfm_scores_r_f_m_person_id", "r", "f", "m", "person_id"),)

    person_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_on: Mapped[date]  # day of the corp's zone of the last paid order
    frequency: Mapped[int]  # paid orders
    monetary: Mapped[Decimal] = mapped_column(Numeric(24, 4))  # paid, less what was refunded
    r: Mapped[int] = mapped_column(SmallInteger)
    f: Mapped[int] = mapped_column(SmallInteger)
    m: Mapped[int] = mapped_column(SmallInteger)
    computed_at: Mapped[datetime]

    @property
    def recency_days(self) -> int:
        """Days of the corp's zone since the last paid order."""
        return max(0, (corp_today() - self.last_on).days)


class Lifecycle(Model):
    """The stage a person is in."""

    __tablename__ = "lifecycle"
    __table_args__ = (Index("ix_lifecycle_stage_person_id", "stage", "person_id"),)

    person_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[str]
    since: Mapped[datetime]


class LifecycleChange(Model):
    """A person came into a stage at a moment."""

    __tablename__ = "lifecycle_history"
    __table_args__ = (Index("ix_lifecycle_history_person_id_id", "person_id", "id"),)

    id: Mapped[Id]
    person_id: Mapped[int]
    from_stage: Mapped[str | None]
    stage: Mapped[str]
    at: Mapped[datetime]


class ValueWanted(Model):
    """To do: something about the orders of this person changed. Only added and taken, so that nobody waits for anybody."""

    __tablename__ = "value_wanted"

    id: Mapped[Id]
    person_id: Mapped[int]
    since: Mapped[CreatedAt]
