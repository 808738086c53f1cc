"""What WeCom answered about members. An event that came in after the question was asked stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import FollowUsersFound, FollowUsersLost
from scrm.staff.service.memberships import LEFT, PRESENCE, SAME_MOMENT, replace_departments, tell_presence
from scrm.staff.service.naming import ensure_staff, staff_ids

VANISH_SHARE = 0.5  # a pull that loses more than this share of the members is not believed
VANISH_MIN = 10


@dataclass(frozen=True)
class MemberSeen:
    """A member as ``user/list``, ``user/get`` or ``user/simplelist`` shows them; None: not shown.

    :param departments: (department id, leads it) of every department
    """

    userid: str
    name: str | None = None
    alias: str | None = None
    position: str | None = None
    status: int | None = None
    main_department_id: int | None = None
    departments: tuple[tuple[int, bool], ...] = ()


def apply_members(members: Sequence[MemberSeen], asked_at: datetime) -> None:
    """Write what WeCom answered about members; an event that came in after the question was asked stays.

    :param asked_at: when the question left
    """
    if not members:
        return
    ids = ensure_staff(m.userid for m in members)
    rows = {ids[m.userid.casefold()]: m for m in members}
    values = {
        "rows": orjson.dumps([{**asdict(m), "id": id_} for id_, m in sorted(rows.items())]).decode(),
        "asked_at": asked_at,
        "newest_event": asked_at - SAME_MOMENT,
    }
    applied = session().execute(_APPLY, values).all()
    tell_presence(applied)
    replace_departments({row.id: rows[row.id].departments for row in applied})


_APPLY = text(f"""
WITH r AS MATERIALIZED (
  SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    id bigint, userid text, name text, alias text, position text, status bigint, main_department_id bigint)),
held AS MATERIALIZED (
  SELECT id FROM staff WHERE id IN (SELECT id FROM r)
  AND (told_at IS NULL OR told_at < :newest_event) AND (left_at IS NULL OR left_at <= :asked_at)
  ORDER BY id FOR UPDATE)
UPDATE staff SET userid = CASE WHEN lower(staff.userid) = lower(r.userid) THEN r.userid ELSE staff.userid END,
  name = COALESCE(r.name, staff.name), alias = COALESCE(r.alias, staff.alias),
  position = COALESCE(r.position, staff.position),
  status = COALESCE(r.status, NULLIF(staff.status, {LEFT})),
  main_department_id = COALESCE(r.main_department_id, staff.main_department_id),
  left_at = CASE WHEN r.status = {LEFT} THEN COALESCE(staff.left_at, :asked_at) END,
  refreshed_at = :asked_at, updated_at = now()
FROM r JOIN held ON held.id = r.id WHERE staff.id = r.id RETURNING {PRESENCE}
""")  # noqa: S608  # constants of this package


def note_members_asked(userids: Sequence[str], asked_at: datetime, *, unknown: bool) -> None:
    """WeCom had no details of these members.

    :param unknown: it said that they do not exist (60111); whom we had details of has then left
    """
    ids = sorted(staff_ids(userids).values())
    values = {
        "ids": ids,
        "asked_at": asked_at,
        "newest_event": asked_at - SAME_MOMENT,
        "unknown": unknown,
        "left": LEFT,
    }
    tell_presence(session().execute(_NOTE_ASKED, values).all())


_NOTE_ASKED = text(f"""
UPDATE staff SET refreshed_at = :asked_at,
  left_at = CASE WHEN :unknown AND name IS NOT NULL THEN COALESCE(left_at, :asked_at) ELSE left_at END,
  status = CASE WHEN :unknown AND name IS NOT NULL THEN :left ELSE status END
WHERE id = ANY(CAST(:ids AS bigint[])) AND (told_at IS NULL OR told_at < :newest_event)
RETURNING {PRESENCE}
""")  # noqa: S608  # constants of this package


def close_missing_members(seen: Iterable[str], asked_at: datetime) -> tuple[int, bool]:
    """After a pull in which every call succeeded: who had a department and was not shown has left.

    :returns: how many are missing, and whether that was believed (not when more than half would vanish at once)
    """
    keep = sorted(staff_ids(seen).values())
    missing = session().scalars(_MISSING, {"keep": keep, "asked_at": asked_at - SAME_MOMENT}).all()
    if len(missing) > max(VANISH_MIN, VANISH_SHARE * (len(keep) + len(missing))):
        return len(missing), False
    closed = session().execute(_CLOSE, {"ids": sorted(missing), "asked_at": asked_at, "left": LEFT}).all()
    tell_presence(closed)
    return len(missing), True


_MISSING = text("""
SELECT id FROM staff WHERE left_at IS NULL AND NOT id = ANY(CAST(:keep AS bigint[]))
AND (told_at IS NULL OR told_at < :asked_at) AND refreshed_at < :asked_at
AND EXISTS (SELECT FROM staff_departments d WHERE d.staff_id = staff.id)
""")
_CLOSE = text(f"""
WITH held AS (
  SELECT id FROM staff WHERE id = ANY(CAST(:ids AS bigint[])) AND left_at IS NULL ORDER BY id FOR UPDATE)
UPDATE staff SET left_at = :asked_at, status = :left, updated_at = now() FROM held WHERE staff.id = held.id
RETURNING {PRESENCE}
""")  # noqa: S608  # constants of this package


def set_follow_users(userids: Iterable[str]) -> None:
    """Say who may serve customers: exactly these members (``get_follow_user_list``, complete)."""
    ids = sorted(ensure_staff(userids).values())
    changed = session().execute(_SET_FOLLOW_USERS, {"ids": ids, "now": utcnow()}).all()
    if new := tuple(row.id for row in changed if row.follows_customers):
        publish(FollowUsersFound(new))
    if lost := tuple(row.id for row in changed if not row.follows_customers):
        publish(FollowUsersLost(lost))


_SET_FOLLOW_USERS = text("""
UPDATE staff SET follows_customers = id = ANY(CAST(:ids AS bigint[])), updated_at = now(),
  feature_lost_at = CASE WHEN NOT id = ANY(CAST(:ids AS bigint[])) THEN CAST(:now AS timestamptz) END
WHERE follows_customers <> (id = ANY(CAST(:ids AS bigint[]))) RETURNING id, follows_customers
""")
