"""The changes that triggers note for the copy: whose database they are of, and forgetting those that nobody needs."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, text, update
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import oldest_running
from tags.columns.models import ColumnBase, ColumnChange


def ensure_base() -> None:
    """See that the database has its key (where all tables were emptied it has none)."""
    session().execute(insert(ColumnBase).values(id=1, marked_at=utcnow()).on_conflict_do_nothing())


def forget_changes() -> int:
    """Delete changes that are older than ``[columns] kept_minutes``, or up to twice as old; returns how many went.

    What had ended at the last call is let go at this one; a copy that is older is written anew.
    """
    if not forgetting_due():
        return 0
    below = session().scalar(text("SELECT next_below FROM column_base")) or 0
    return _forget(below)


def forget_all_changes() -> int:
    """Delete every change that is noted: there is nobody who needs them; returns how many went."""
    return _forget(oldest_running())


def _forget(below: int) -> int:
    marks = {"below": below, "next_below": oldest_running(), "marked_at": utcnow()}
    session().execute(update(ColumnBase).values(marks))
    gone = session().execute(delete(ColumnChange).where(ColumnChange.xid < below))
    return int(getattr(gone, "rowcount", 0))


def forgetting_due() -> bool:
    """Whether changes were not forgotten for so long."""
    marked = session().scalar(text("SELECT marked_at FROM column_base"))
    return marked is None or marked <= utcnow() - timedelta(minutes=settings().columns.kept_minutes)


def anything_noted() -> bool:
    """Whether any change is noted."""
    return bool(session().scalar(text("SELECT EXISTS (SELECT FROM column_changes)")))
