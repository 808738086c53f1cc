"""Customers of members who left: from our own relations and from WeCom's list, until somebody has them.

A customer leaves the list by a transfer that is done, when WeCom says that there is no relation, when the member is
back, or when WeCom had listed them and a complete list shows them no more. Nothing else takes them off it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from scrm.customers.service.wanting import ensure_customers, want_refresh
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session
from scrm.staff.service.members import MemberEvent, record_member_events
from scrm.staff.service.naming import ensure_staff
from scrm.transfers.models import Resolution

LISTED_ANYWAY = timedelta(days=1)  # what WeCom still lists so long after we took it off is open again


def collect_own(staff_ids: Sequence[int] | None = None) -> int:
    """Take down the customers of members who left, as our own relations have them; returns how many were added.

    :param staff_ids: these members only; None: everybody who left
    """
    values = {"now": utcnow(), "all": staff_ids is None, "ids": sorted(staff_ids or ())}
    return len(session().execute(_COLLECT_OWN, values).all())


# A relation that vanished from WeCom's answers after the member had left was not ended by anybody.
_COLLECT_OWN = text("""
INSERT INTO unassigned_customers AS u (staff_id, customer_id, left_at, found_at)
SELECT f.staff_id, f.customer_id, s.left_at, :now FROM follows f JOIN staff s ON s.id = f.staff_id
WHERE s.left_at IS NOT NULL AND s.userid NOT LIKE '%#%' AND (:all OR s.id = ANY(CAST(:ids AS bigint[])))
AND (f.status = 'active' OR (f.status = 'deleted_by_staff' AND f.delete_source IS NULL AND f.deleted_by_staff_at >= s.left_at))
ORDER BY 1, 2
ON CONFLICT (staff_id, customer_id) DO UPDATE SET left_at = excluded.left_at, found_at = excluded.found_at,
  listed_at = NULL, resolved_at = NULL, resolution = NULL WHERE u.resolved_at < excluded.left_at
RETURNING u.staff_id
""")


def record_listed(rows: Sequence[Mapping[str, Any]], asked_at: datetime) -> None:
    """Take down a page of get_unassigned_list (``handover_userid``, ``external_userid``, ``dimission_time``).

    :param asked_at: when the reading of the whole list began
    """
    if not rows:
        return
    staff = ensure_staff(row["handover_userid"] for row in rows)
    customers = ensure_customers(row["external_userid"] for row in rows)
    values = [
        {
            "staff_id": staff[row["handover_userid"].casefold()],
            "customer_id": customers[row["external_userid"]],
            "left_at": _moment(row, asked_at),
        }
        for row in rows
    ]
    bound = {"rows": orjson.dumps(values).decode(), "asked_at": asked_at, "anyway": LISTED_ANYWAY}
    session().execute(_RECORD_LISTED, bound)
    _note_left(rows, asked_at)


_RECORD_LISTED = text("""
INSERT INTO unassigned_customers AS u (staff_id, customer_id, left_at, found_at, listed_at)
SELECT DISTINCT ON (staff_id, customer_id) staff_id, customer_id, left_at, :asked_at, :asked_at FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(staff_id bigint, customer_id bigint, left_at timestamptz) ORDER BY 1, 2
ON CONFLICT (staff_id, customer_id) DO UPDATE SET left_at = excluded.left_at, listed_at = excluded.listed_at,
  resolved_at = CASE WHEN u.resolved_at > excluded.listed_at - CAST(:anyway AS interval) THEN u.resolved_at END,
  resolution = CASE WHEN u.resolved_at > excluded.listed_at - CAST(:anyway AS interval) THEN u.resolution END
""")


def _note_left(rows: Sequence[Mapping[str, Any]], asked_at: datetime) -> None:
    """Members whom WeCom lists as having left and we do not: their event did not reach us."""
    left = {row["handover_userid"].lower(): _moment(row, asked_at) for row in rows}
    still_here = session().scalars(_STILL_HERE, {"userids": sorted(left)}).all()
    record_member_events([MemberEvent(userid, left[userid], gone=True) for userid in still_here])


def _moment(row: Mapping[str, Any], otherwise: datetime) -> datetime:
    time = row.get("dimission_time")
    return from_epoch(time) if time else otherwise


_STILL_HERE = text("""
SELECT lower(userid) FROM staff WHERE lower(userid) = ANY(CAST(:userids AS text[])) AND left_at IS NULL ORDER BY 1
""")


def close_unlisted(asked_at: datetime) -> int:
    """After a complete list: whom WeCom had listed before, shows no more, and who has somebody, is off the list.

    Not being listed alone proves nothing (the list is cut to what the app sees): a member who works here must follow the
    customer, or the old relation must have ended. Where we know neither, the customer is read anew for the next time.
    """
    values = {"asked_at": asked_at, "now": utcnow(), "resolution": Resolution.FOUND_OWNER}
    closed = len(session().execute(_CLOSE_UNLISTED, values).all())
    want_refresh(session().scalars(_UNPROVEN, {"asked_at": asked_at}).all())
    return closed


_UNLISTED = """u.resolved_at IS NULL AND u.listed_at < :asked_at AND NOT EXISTS (SELECT FROM transfer_items i
  WHERE i.customer_id = u.customer_id AND i.from_staff_id = u.staff_id AND i.state IN ('planned', 'asked', 'waiting'))"""
_UNPROVEN = text(
    f"SELECT c.external_userid FROM unassigned_customers u JOIN customers c ON c.id = u.customer_id WHERE {_UNLISTED}"  # noqa: S608  # a constant
)
_CLOSE_UNLISTED = text(f"""
UPDATE unassigned_customers u SET resolved_at = :now, resolution = :resolution
WHERE {_UNLISTED}
AND EXISTS (SELECT FROM follows f JOIN staff s ON s.id = f.staff_id WHERE f.customer_id = u.customer_id AND (
  (f.staff_id = u.staff_id AND f.status = 'deleted_by_staff')
  OR (f.staff_id <> u.staff_id AND s.left_at IS NULL AND f.status IN ('active', 'half', 'deleted_by_customer'))))
RETURNING u.customer_id
""")  # noqa: S608  # a constant


def resolve(item_ids: Iterable[int], resolution: Resolution) -> None:
    """Take the customers of these items off the list."""
    if ids := sorted(item_ids):
        session().execute(_RESOLVE, {"ids": ids, "now": utcnow(), "resolution": resolution})


_RESOLVE = text("""
UPDATE unassigned_customers u SET resolved_at = :now, resolution = :resolution FROM transfer_items i
WHERE i.id = ANY(CAST(:ids AS bigint[])) AND u.staff_id = i.from_staff_id AND u.customer_id = i.customer_id
AND u.resolved_at IS NULL
""")


def forget_returned(staff_ids: Sequence[int]) -> None:
    """Members who had left are back and keep their customers."""
    values = {"ids": sorted(staff_ids), "now": utcnow(), "resolution": Resolution.RETURNED}
    session().execute(_RETURNED, values)


_RETURNED = text("""
UPDATE unassigned_customers SET resolved_at = :now, resolution = :resolution
WHERE staff_id = ANY(CAST(:ids AS bigint[])) AND resolved_at IS NULL
""")
