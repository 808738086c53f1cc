"""Knowing members of staff: from their mere names in events, from contact events, and from asking WeCom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import FollowUsersFound, StaffFound, StaffMerged

LEFT = 5  # WeCom's member status
SAME_MOMENT = timedelta(seconds=1)  # event times are whole seconds
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


@dataclass(frozen=True)
class DepartmentSeen:
    """A department as ``department/get`` or ``simplelist`` shows it; ``name`` None: not shown."""

    id: int
    name: str | None = None
    parent_id: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class MemberEvent:
    """A change of a member that a callback told: only what it names.

    :param gone: the member left the corp (or this app's view)
    :param new_userid: their userid changed to this
    :param departments: None when the event does not speak of them
    """

    userid: str
    at: datetime
    gone: bool = False
    new_userid: str | None = None
    name: str | None = None
    alias: str | None = None
    position: str | None = None
    status: int | None = None
    main_department_id: int | None = None
    departments: tuple[tuple[int, bool], ...] | None = None


@dataclass(frozen=True)
class DepartmentEvent:
    """A change of a department that a callback told: only what it names."""

    id: int
    at: datetime
    gone: bool = False
    name: str | None = None
    parent_id: int | None = None
    position: int | None = None


def ensure_staff(userids: Iterable[str]) -> dict[str, int]:
    """Ids of members by casefolded userid; who was never heard of gets a row that a job completes later."""
    wanted = {userid.casefold(): userid for userid in userids if userid}
    if not wanted:
        return {}
    known = staff_ids(wanted)
    missing = [userid for key, userid in sorted(wanted.items()) if key not in known]
    if missing:
        made = session().scalars(_INSERT_STUBS, {"userids": missing}).all()
        publish(StaffFound(tuple(made)))
        known = staff_ids(wanted)
    return known


def staff_ids(userids: Iterable[str]) -> dict[str, int]:
    """Ids of the members already known, by casefolded userid; earlier userids count."""
    found = session().execute(_SELECT_IDS, {"userids": [userid.lower() for userid in userids]})
    return {row.userid.casefold(): row.id for row in found}


_SELECT_IDS = text("""
SELECT lower(userid) AS userid, id FROM staff WHERE lower(userid) = ANY(CAST(:userids AS text[]))
UNION ALL SELECT userid, staff_id FROM staff_aliases WHERE userid = ANY(CAST(:userids AS text[]))
""")
_INSERT_STUBS = text("""
INSERT INTO staff (userid) SELECT unnest(CAST(:userids AS text[]))
ON CONFLICT (lower(userid)) DO NOTHING RETURNING id
""")


def apply_members(members: Sequence[MemberSeen], asked_at: datetime) -> None:
    """Write what WeCom answered about members; an event that came in after the question was asked stays.

    :param asked_at: when the question left
    """
    if not members:
        return
    ids = ensure_staff(m.userid for m in members)
    rows = {ids[m.userid.casefold()]: m for m in members}
    applied = session().scalars(
        _APPLY_MEMBERS,
        {
            "rows": _json([{**asdict(m), "id": id_} for id_, m in sorted(rows.items())]),
            "asked_at": asked_at,
            "newest_event": asked_at - SAME_MOMENT,
        },
    )
    _replace_departments({id_: rows[id_].departments for id_ in applied})


_MEMBER_COLUMNS = (
    "id bigint, userid text, name text, alias text, position text, status bigint, main_department_id bigint"
)
_APPLY_MEMBERS = text(f"""
WITH r AS MATERIALIZED (
  SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_MEMBER_COLUMNS})),
held AS MATERIALIZED (
  SELECT id FROM staff WHERE id IN (SELECT id FROM r)
  AND (told_at IS NULL OR told_at < :newest_event) ORDER BY id FOR UPDATE)
UPDATE staff SET userid = CASE WHEN lower(staff.userid) = lower(r.userid) THEN r.userid ELSE staff.userid END,
  name = COALESCE(r.name, staff.name), alias = COALESCE(r.alias, staff.alias),
  position = COALESCE(r.position, staff.position), status = COALESCE(r.status, staff.status),
  main_department_id = COALESCE(r.main_department_id, staff.main_department_id),
  left_at = CASE WHEN r.status = {LEFT} THEN COALESCE(staff.left_at, :asked_at) END,
  refreshed_at = :asked_at, updated_at = now()
FROM r JOIN held ON held.id = r.id WHERE staff.id = r.id RETURNING staff.id
""")  # noqa: S608  # constants of this module


def note_members_asked(userids: Sequence[str], asked_at: datetime, *, unknown: bool) -> None:
    """WeCom had no details of these members.

    :param unknown: it said that they do not exist (60111); whom we had details of has then left
    """
    session().execute(
        _NOTE_ASKED,
        {"ids": sorted(staff_ids(userids).values()), "asked_at": asked_at, "unknown": unknown, "left": LEFT},
    )


_NOTE_ASKED = text("""
UPDATE staff SET refreshed_at = :asked_at,
  left_at = CASE WHEN :unknown AND name IS NOT NULL THEN COALESCE(left_at, :asked_at) ELSE left_at END,
  status = CASE WHEN :unknown AND name IS NOT NULL THEN :left ELSE status END
WHERE id = ANY(CAST(:ids AS bigint[])) AND (told_at IS NULL OR told_at < :asked_at)
""")


def close_missing_members(seen: Iterable[str], asked_at: datetime) -> tuple[int, bool]:
    """After a pull in which every call succeeded: who had a department and was not shown has left.

    :returns: how many are missing, and whether that was believed (not when more than half would vanish at once)
    """
    keep = sorted(staff_ids(seen).values())
    missing = session().scalars(_MISSING_MEMBERS, {"keep": keep, "asked_at": asked_at - SAME_MOMENT}).all()
    if len(missing) > max(VANISH_MIN, VANISH_SHARE * (len(keep) + len(missing))):
        return len(missing), False
    session().execute(_CLOSE_MEMBERS, {"ids": sorted(missing), "asked_at": asked_at, "left": LEFT})
    return len(missing), True


_MISSING_MEMBERS = text("""
SELECT id FROM staff WHERE left_at IS NULL AND NOT id = ANY(CAST(:keep AS bigint[]))
AND (told_at IS NULL OR told_at < :asked_at) AND refreshed_at < :asked_at
AND EXISTS (SELECT FROM staff_departments d WHERE d.staff_id = staff.id)
""")
_CLOSE_MEMBERS = text("""
WITH held AS (SELECT id FROM staff WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE)
UPDATE staff SET left_at = :asked_at, status = :left, updated_at = now() FROM held WHERE staff.id = held.id
""")


def set_follow_users(userids: Iterable[str]) -> None:
    """Say who may serve customers: exactly these members (``get_follow_user_list``, complete)."""
    ids = sorted(ensure_staff(userids).values())
    changed = session().execute(_SET_FOLLOW_USERS, {"ids": ids}).all()
    if new := tuple(row.id for row in changed if row.follows_customers):
        publish(FollowUsersFound(new))


_SET_FOLLOW_USERS = text("""
UPDATE staff SET follows_customers = id = ANY(CAST(:ids AS bigint[])), updated_at = now()
WHERE follows_customers <> (id = ANY(CAST(:ids AS bigint[]))) RETURNING id, follows_customers
""")


def apply_departments(
    departments: Sequence[DepartmentSeen], asked_at: datetime, *, complete: bool = False
) -> None:
    """Write what WeCom answered about departments.

    :param complete: these are all there are; others are gone
    """
    rows = [asdict(department) for department in sorted(departments, key=lambda d: d.id)]
    if not rows:
        return
    session().execute(_APPLY_DEPARTMENTS, {"rows": _json(rows), "newest_event": asked_at - SAME_MOMENT})
    if complete:
        ids = [row["id"] for row in rows]
        times = {"asked_at": asked_at, "newest_event": asked_at - SAME_MOMENT}
        session().execute(_CLOSE_DEPARTMENTS, {"ids": ids, **times})


_CLOSE_DEPARTMENTS = text("""
UPDATE departments SET deleted_at = :asked_at WHERE deleted_at IS NULL
AND NOT id = ANY(CAST(:ids AS bigint[])) AND (told_at IS NULL OR told_at < :newest_event)
""")


_DEPARTMENT_ROWS = (
    "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, name text, parent_id bigint, position bigint"
)
_APPLY_DEPARTMENTS = text(f"""
INSERT INTO departments (id, name, parent_id, position)
SELECT id, name, parent_id, COALESCE(position, 0) FROM {_DEPARTMENT_ROWS}) ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = COALESCE(excluded.name, departments.name),
  parent_id = COALESCE(excluded.parent_id, departments.parent_id), position = excluded.position,
  deleted_at = NULL, updated_at = now()
WHERE departments.told_at IS NULL OR departments.told_at < :newest_event
""")  # noqa: S608  # constants of this module


def record_department_events(events: Sequence[DepartmentEvent]) -> None:
    """Apply what callbacks told about departments; of one department the newest wins, deletion wins a tie."""
    newest: dict[int, dict[str, Any]] = {}
    for event in sorted(events, key=lambda e: (e.at, e.gone)):
        row = newest.setdefault(event.id, {"id": event.id})
        told = {"name": event.name, "parent_id": event.parent_id, "position": event.position}
        row |= {key: value for key, value in told.items() if value is not None}
        row |= {"at": event.at, "gone": event.gone}
    if newest:
        session().execute(_DEPARTMENT_EVENTS, {"rows": _json([newest[key] for key in sorted(newest)])})


_DEPARTMENT_EVENTS = text(f"""
INSERT INTO departments (id, name, parent_id, position, told_at, deleted_at)
SELECT id, name, parent_id, COALESCE(position, 0), at, CASE WHEN gone THEN at END
FROM {_DEPARTMENT_ROWS}, at timestamptz, gone boolean) ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = COALESCE(excluded.name, departments.name),
  parent_id = COALESCE(excluded.parent_id, departments.parent_id),
  position = CASE WHEN excluded.position <> 0 THEN excluded.position ELSE departments.position END,
  told_at = excluded.told_at, deleted_at = excluded.deleted_at, updated_at = now()
WHERE departments.told_at IS NULL OR departments.told_at < excluded.told_at
  OR (departments.told_at = excluded.told_at AND excluded.deleted_at IS NOT NULL)
""")  # noqa: S608  # constants of this module


def record_member_events(events: Sequence[MemberEvent]) -> None:
    """Apply what callbacks told about members, newest last; what came late or at the same second is asked from WeCom."""
    _rename([event for event in events if event.new_userid])
    ids = ensure_staff(event.new_userid or event.userid for event in events)
    folded: dict[int, dict[str, Any]] = {}
    doubtful: set[int] = set()
    for event in sorted(events, key=lambda e: e.at):
        id_ = ids[(event.new_userid or event.userid).casefold()]
        row = folded.setdefault(id_, {"id": id_})
        if row.get("at") == event.at:
            doubtful.add(id_)
        row |= _told(event)
    applied = set(
        session().scalars(
            _MEMBER_EVENTS, {"rows": _json([folded[key] for key in sorted(folded)]), "left": LEFT}
        )
    )
    _replace_departments({i: folded[i]["departments"] for i in applied if "departments" in folded[i]})
    _doubt(sorted(doubtful | (folded.keys() - applied)))


def _told(event: MemberEvent) -> dict[str, Any]:
    names = ("name", "alias", "position", "status", "main_department_id", "departments")
    told = {name: getattr(event, name) for name in names if getattr(event, name) is not None}
    return {**told, "at": event.at, "gone": event.gone or event.status == LEFT}


_MEMBER_EVENTS = text(f"""
WITH r AS MATERIALIZED (
  SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_MEMBER_COLUMNS}, at timestamptz, gone boolean)),
held AS MATERIALIZED (SELECT id FROM staff WHERE id IN (SELECT id FROM r) ORDER BY id FOR UPDATE)
UPDATE staff SET name = COALESCE(r.name, staff.name), alias = COALESCE(r.alias, staff.alias),
  position = COALESCE(r.position, staff.position),
  status = CASE WHEN r.gone THEN :left WHEN r.status IS NOT NULL THEN r.status
    WHEN staff.status <> :left THEN staff.status END,
  main_department_id = COALESCE(r.main_department_id, staff.main_department_id),
  left_at = CASE WHEN r.gone THEN r.at END, told_at = r.at, updated_at = now()
FROM r JOIN held ON held.id = r.id
WHERE staff.id = r.id AND (staff.told_at IS NULL OR staff.told_at < r.at) RETURNING staff.id
""")  # noqa: S608  # constants of this module


def _doubt(ids: Sequence[int]) -> None:
    if ids:
        session().execute(_DOUBT, {"ids": ids})
        publish(StaffFound(tuple(ids)))


_DOUBT = text("UPDATE staff SET refreshed_at = NULL WHERE id = ANY(CAST(:ids AS bigint[]))")


def _rename(events: Sequence[MemberEvent]) -> None:
    """Give members their new userid and remember the old; a row that already has the new one is folded in."""
    known = staff_ids({name for event in events for name in (event.userid, event.new_userid or "")})
    kept: dict[int, str] = {}
    merged: dict[int, int] = {}
    aliases: dict[str, int] = {}
    for event in sorted(events, key=lambda e: e.at):
        new = event.new_userid or event.userid
        old_id, new_id = known.get(event.userid.casefold()), known.get(new.casefold())
        if old_id is None and new_id is None:
            new_id = ensure_staff([new])[new.casefold()]
        elif old_id is not None and old_id != new_id:
            kept[old_id] = new
            if new_id is not None:
                merged[new_id] = old_id
        if event.userid.casefold() != new.casefold():
            aliases[event.userid.lower()] = old_id or new_id or 0
    _write_renames(kept, merged, aliases)


def _write_renames(kept: Mapping[int, str], merged: Mapping[int, int], aliases: Mapping[str, int]) -> None:
    current = session()
    if merged:
        current.execute(
            text("""
            UPDATE staff SET userid = id || '#' || userid, left_at = COALESCE(left_at, :now), status = :left
            WHERE id = ANY(CAST(:ids AS bigint[]))
            """),  # '#' is not allowed in a userid: nobody else can ever be called so
            {"ids": sorted(merged), "now": utcnow(), "left": LEFT},
        )
        _replace_departments(dict.fromkeys(merged, ()))
        publish(*(StaffMerged(kept_id, gone_id) for gone_id, kept_id in merged.items()))
    if kept:
        current.execute(
            text("""
            UPDATE staff SET userid = r.userid, updated_at = now()
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, userid text) WHERE staff.id = r.id
            """),
            {"rows": _json([{"id": id_, "userid": userid} for id_, userid in sorted(kept.items())])},
        )
    if aliases:
        current.execute(
            text("""
            INSERT INTO staff_aliases (userid, staff_id)
            SELECT userid, staff_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(userid text, staff_id bigint)
            ON CONFLICT (userid) DO UPDATE SET staff_id = excluded.staff_id
            """),
            {"rows": _json([{"userid": u, "staff_id": i} for u, i in sorted(aliases.items())])},
        )


def _replace_departments(wanted: Mapping[int, Sequence[tuple[int, bool]]]) -> None:
    """Make ``staff_departments`` of these members exactly this."""
    rows = [
        {"staff_id": id_, "department_id": department, "is_leader": leads}
        for id_, departments in sorted(wanted.items())
        for department, leads in sorted(set(departments))
    ]
    values = {"rows": _json(rows), "ids": sorted(wanted)}
    session().execute(_DROP_DEPARTMENTS, values)
    session().execute(_PUT_DEPARTMENTS, {"rows": values["rows"]})


_MEMBERSHIPS = (
    "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(staff_id bigint, department_id bigint, is_leader boolean)"
)
_DROP_DEPARTMENTS = text(f"""
DELETE FROM staff_departments d WHERE d.staff_id = ANY(CAST(:ids AS bigint[]))
AND NOT EXISTS (SELECT FROM {_MEMBERSHIPS} WHERE r.staff_id = d.staff_id AND r.department_id = d.department_id)
""")  # noqa: S608  # constants of this module
_PUT_DEPARTMENTS = text(f"""
INSERT INTO staff_departments (staff_id, department_id, is_leader)
SELECT staff_id, department_id, bool_or(is_leader) FROM {_MEMBERSHIPS} GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (staff_id, department_id) DO UPDATE SET is_leader = excluded.is_leader
""")  # noqa: S608  # constants of this module


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
