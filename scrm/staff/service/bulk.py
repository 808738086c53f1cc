"""Staff as a full sync compares it: members and departments that are missing, and who serves customers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import FollowUsersFound, FollowUsersLost
from scrm.staff.service.memberships import LEFT, PRESENCE, SAME_MOMENT, tell_presence
from scrm.staff.service.naming import ensure_staff, staff_ids


def missing_members(seen: Iterable[str], asked_at: datetime) -> list[Any]:
    """Members (id, userid) who had a department and were not shown; only after a reading in which no call failed."""
    values = {"keep": sorted(staff_ids(seen).values()), "newest_event": asked_at - SAME_MOMENT}
    return list(session().execute(_MISSING_MEMBERS, {**values, "asked_at": asked_at}).all())


_MISSING_MEMBERS = text("""
SELECT id, userid FROM staff WHERE left_at IS NULL AND NOT id = ANY(CAST(:keep AS bigint[]))
AND (told_at IS NULL OR told_at < :newest_event) AND refreshed_at < :asked_at AND updated_at < :asked_at
AND EXISTS (SELECT FROM staff_departments d WHERE d.staff_id = staff.id) ORDER BY id
""")


def close_members(ids: Sequence[int], asked_at: datetime) -> list[int]:
    """Call these members gone, unless somebody told of them since they were looked for; tells StaffLeft."""
    values = {"ids": sorted(ids), "newest_event": asked_at - SAME_MOMENT, "left": LEFT}
    rows = session().execute(_CLOSE_MEMBERS, {**values, "asked_at": asked_at}).all()
    tell_presence(rows)
    return [row.id for row in rows]


_CLOSE_MEMBERS = text(f"""
WITH held AS (
  SELECT id FROM staff WHERE id = ANY(CAST(:ids AS bigint[])) AND left_at IS NULL
  AND (told_at IS NULL OR told_at < :newest_event) AND updated_at < :asked_at ORDER BY id FOR UPDATE)
UPDATE staff SET left_at = :asked_at, status = :left, updated_at = now() FROM held WHERE staff.id = held.id
RETURNING {PRESENCE}
""")  # noqa: S608  # constants of this package


def missing_departments(seen: Sequence[int], asked_at: datetime) -> list[int]:
    """Departments that were not shown; only after the whole tree was."""
    values = {"keep": sorted(seen), "newest_event": asked_at - SAME_MOMENT}
    return list(session().scalars(_MISSING_DEPARTMENTS, values))


_MISSING_DEPARTMENTS = text("""
SELECT id FROM departments WHERE deleted_at IS NULL AND NOT id = ANY(CAST(:keep AS bigint[]))
AND (told_at IS NULL OR told_at < :newest_event) ORDER BY id
""")


def missing_follow_users(seen: Iterable[str]) -> list[Any]:
    """Members (id, userid) who served customers as far as we knew and are not in the list."""
    return list(session().execute(_MISSING_FOLLOW_USERS, {"keep": sorted(staff_ids(seen).values())}).all())


_MISSING_FOLLOW_USERS = text("""
SELECT id, userid FROM staff WHERE follows_customers AND NOT id = ANY(CAST(:keep AS bigint[])) ORDER BY id
""")


def add_follow_users(userids: Iterable[str]) -> list[int]:
    """Say that these members serve customers; returns those of whom that was not known."""
    if new := _mark(sorted(ensure_staff(userids).values()), serves=True):
        publish(FollowUsersFound(tuple(new)))
    return new


def drop_follow_users(ids: Sequence[int]) -> list[int]:
    """Say that these members no longer serve customers; returns those of whom that was not known."""
    if lost := _mark(sorted(ids), serves=False):
        publish(FollowUsersLost(tuple(lost)))
    return lost


def _mark(ids: Sequence[int], *, serves: bool) -> list[int]:
    return list(session().scalars(_MARK, {"ids": ids, "serves": serves, "now": utcnow()}))


_MARK = text("""
UPDATE staff SET follows_customers = :serves, updated_at = now(),
  feature_lost_at = CASE WHEN NOT :serves THEN CAST(:now AS timestamptz) END
WHERE id = ANY(CAST(:ids AS bigint[])) AND follows_customers <> :serves RETURNING id
""")
