"""What was wrong with parts of the copy on this machine, and how long they rest for it: a bad disk makes no storm."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from sqlalchemy import case, delete, select
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from tags.columns.models import ColumnTrouble, Trouble
from tags.columns.service.shelf import Source, folder

NO_MONTH = date.min
REMEMBERED = timedelta(days=1)
FIRST_REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=6)
Place = tuple[Source, date | None]
"""Source and month of a part."""


def place() -> str:
    """This machine's folder, as nobody else calls theirs."""
    return f"{socket.gethostname()}:{folder().resolve()}"


def note_trouble(part: Place, kind: Trouble, error: str) -> None:
    """Something is wrong with a part; a day after the last time it counts as the first."""
    now, source, month = utcnow(), *part
    values = {"place": place(), "source": str(source), "month": month or NO_MONTH, "kind": kind}
    row = insert(ColumnTrouble).values(values | {"error": error, "times": 1, "last_at": now})
    times = case((ColumnTrouble.last_at < now - REMEMBERED, 1), else_=ColumnTrouble.times + 1)
    told = {"kind": kind, "error": error, "times": times, "last_at": now}
    session().execute(row.on_conflict_do_update(index_elements=["place", "source", "month"], set_=told))


def resting() -> dict[Place, datetime]:
    """Parts that are to be left alone, and until when: not after the first trouble, then for a minute, for two, for four …"""
    now = utcnow()
    rows = session().scalars(select(ColumnTrouble).where(ColumnTrouble.place == place())).all()
    until = {_part(row): row.last_at + rest(row.times) for row in rows}
    return {part: at for part, at in until.items() if at > now}


def rest(times: int) -> timedelta:
    """How long a part rests after so many troubles."""
    doubled = 2 ** max(0, min(times - 2, 20))
    return min(FIRST_REST * doubled, LONGEST_REST) if times > 1 else timedelta(0)


def troubled() -> list[ColumnTrouble]:
    """Troubles of the last day with this machine's copy, those that came most often first."""
    of_late = select(ColumnTrouble).where(
        ColumnTrouble.place == place(), ColumnTrouble.last_at >= utcnow() - REMEMBERED
    )
    in_order = of_late.order_by(ColumnTrouble.times.desc(), ColumnTrouble.source, ColumnTrouble.month)
    return list(session().scalars(in_order))


def counted_troubles() -> Mapping[str, int]:
    """Kind of trouble → how many parts of this machine's copy had it within the last day."""
    kinds = [row.kind for row in troubled()]
    return {str(kind): kinds.count(kind) for kind in Trouble}


def written(part: Place) -> None:
    """A part that could not be written could be. What was spoiled may be so again: that is remembered for its day."""
    source, month = part
    same = (ColumnTrouble.place == place(), ColumnTrouble.source == str(source))
    unwritten = (ColumnTrouble.month == (month or NO_MONTH), ColumnTrouble.kind == Trouble.UNWRITTEN)
    session().execute(delete(ColumnTrouble).where(*same, *unwritten))


def forget_troubles() -> None:
    """Delete what is older than a day, of every machine."""
    session().execute(delete(ColumnTrouble).where(ColumnTrouble.last_at < utcnow() - REMEMBERED))


def _part(row: ColumnTrouble) -> Place:
    return Source(row.source), None if row.month == NO_MONTH else row.month
