"""What sets of customers have to be looked at again for: the changes themselves, noted by triggers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import Model


class SetChange(Model):
    """Facts of customers or persons changed in one statement; written by triggers, in the transaction of the change.

    Triggers (migration 0005) and not events: whatever changes a row is noted, a full sync and a repair by hand too.

    :param xid: the transaction; whoever has a snapshot can tell whether it had been committed by then
    :param source: whose facts: a table, or ``customers.fields`` (tags/sets/service/watching.py)
    :param ids: customers or persons; None: too many to list, or a change that may concern everybody
    """

    __tablename__ = "set_changes"
    __table_args__ = (PrimaryKeyConstraint("xid", "id"),)

    xid: Mapped[int]
    id: Mapped[int] = mapped_column(Identity())
    source: Mapped[str]
    ids: Mapped[list[int] | None]


class SetHorizon(Model):
    """How far back changes are known; one row, none before changes were first forgotten.

    :param below: changes of transactions with smaller numbers are forgotten
    :param next_below: those that may be forgotten next time: they had ended by ``marked_at``
    """

    __tablename__ = "set_horizon"
    __table_args__ = (CheckConstraint("id = 1", "one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    below: Mapped[int]
    next_below: Mapped[int]
    marked_at: Mapped[datetime]
