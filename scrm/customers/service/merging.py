"""Folding the relations of two rows of one member into one (their userid changed)."""

from __future__ import annotations

from sqlalchemy import text

from scrm.customers.events import FollowChanged
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.db import session
from scrm.kernel.events import publish

TIMES = (
    "half_added_at", "added_at", "add_event_at", "state_at", "confirmed_at",
    "deleted_by_staff_at", "deleted_by_customer_at", "transfer_failed_at",
)  # fmt: skip


def merge_follows(kept_id: int, gone_id: int) -> None:
    """Give every relation of staff ``gone_id`` to ``kept_id``; where both have one, the newest times win.

    What hangs on a relation that is folded in (tags, welcomes) goes with it; WeCom is asked for the truth.
    """
    ids = {"kept": kept_id, "gone": gone_id}
    current = session()
    current.execute(_FOLD, ids)
    current.execute(_DROP, ids)
    moved = current.execute(_MOVE, ids).all()
    publish(*(FollowChanged(row.id, row.customer_id, kept_id) for row in moved))
    names = current.scalars(
        text("""
        SELECT external_userid FROM customers c JOIN follows f ON f.customer_id = c.id WHERE f.staff_id = :kept
        AND f.updated_at = now()
        """),
        ids,
    )
    want_refresh(names.all())


_FOLD = text(f"""
UPDATE follows f SET {", ".join(f"{time} = GREATEST(f.{time}, g.{time})" for time in TIMES)},
  state = CASE WHEN g.state_at > COALESCE(f.state_at, '-infinity') THEN g.state ELSE f.state END, updated_at = now()
FROM follows g WHERE f.staff_id = :kept AND g.staff_id = :gone AND g.customer_id = f.customer_id
""")  # noqa: S608  # names of this module's own constants
_DROP = text("""
DELETE FROM follows g USING follows f WHERE g.staff_id = :gone AND f.staff_id = :kept AND g.customer_id = f.customer_id
""")
_MOVE = text("""
UPDATE follows SET staff_id = :kept, updated_at = now() WHERE staff_id = :gone RETURNING id, customer_id
""")
