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


class BackedSet(Model):
    """A set of customers as it was some minutes ago, for whoever finds Redis empty (tags/sets/service/backing.py).

    :param digest: its name in Redis too; ``key`` its leaf
    :param base: the database whose transactions ``snapshot`` tells of (tags/columns/queries/base.py)
    :param snapshot: it holds every change that this snapshot saw
    :param mark: a digest of ``bits``, which are not written again while they are the same
    :param bits: a roaring bitmap of customer ids
    """

    __tablename__ = "backed_sets"

    digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    base: Mapped[str]
    snapshot: Mapped[str]
    as_of: Mapped[datetime]
    mark: Mapped[str]
    bits: Mapped[bytes]
