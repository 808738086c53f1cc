"""What the copy in columns has to be mended for: the changes themselves, noted by triggers (migration 0011)."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, Identity, PrimaryKeyConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import Model, enum_text


class ColumnChange(Model):
    """Rows of persons came, went or changed in one statement; written by triggers, in the transaction of the change.

    :param xid: the transaction; whoever has a snapshot can tell whether it had been committed by then
    :param source: the table (:class:`tags.columns.service.shelf.Source`)
    :param months: first days of the months (UTC) in which rows lie or lay; empty for ``customer_people``
    :param person_ids: whose rows; None: too many to list
    """

    __tablename__ = "column_changes"
    __table_args__ = (PrimaryKeyConstraint("xid", "id"),)

    xid: Mapped[int]
    id: Mapped[int] = mapped_column(Identity())
    source: Mapped[str]
    months: Mapped[list[date]] = mapped_column(ARRAY(Date))
    person_ids: Mapped[list[int] | None]


class ColumnBase(Model):
    """Which database a copy belongs to, and how far back changes are known; one row, made by the migration.

    :param key: drawn when the table was made; a copy with another key is of another database
    :param below: changes of transactions with smaller numbers are forgotten
    :param next_below: what ``below`` becomes at the next forgetting: all before it had ended at ``marked_at``
    """

    __tablename__ = "column_base"
    __table_args__ = (CheckConstraint("id = 1", "one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    below: Mapped[int] = mapped_column(server_default="0")
    next_below: Mapped[int] = mapped_column(server_default="0")
    marked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Trouble(StrEnum):
    """What was wrong with a part of the copy."""

    SPOILED = "spoiled"  # its file could not be read, and was removed
    DOUBTED = "doubted"  # somebody could not read its file, and we could
    UNWRITTEN = "unwritten"  # it could not be written


class ColumnTrouble(Model):
    """A part of a copy with which something was wrong; for a day, so that a bad disk is not written to without end.

    :param place: machine and folder of the copy: others may have a disk that is well
    :param month: its first day; :data:`tags.columns.service.troubles.NO_MONTH` of a part that has none
    :param error: name of the error; never its message, which may quote rows
    :param times: how often, one within a day of the other
    """

    __tablename__ = "column_troubles"
    __table_args__ = (PrimaryKeyConstraint("place", "source", "month"),)

    place: Mapped[str]
    source: Mapped[str]
    month: Mapped[date]
    kind: Mapped[Trouble] = mapped_column(enum_text(Trouble))
    error: Mapped[str]
    times: Mapped[int]
    last_at: Mapped[datetime]
