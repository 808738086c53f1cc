"""What callbacks told about members.

Events may come twice, late and in any order: every value carries the time it was told at and the newest wins, so that
the result is the same. What two events of one second disagree about, and what a late one may have changed, is asked
from WeCom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import StaffFound, StaffListDoubted
from scrm.staff.models import Staff, StaffDepartment
from scrm.staff.service.memberships import LEFT, PRESENCE, replace_departments, tell_presence
from scrm.staff.service.naming import Renaming, ensure_staff, rename
from scrm.staff.service.telling import Told, kept_or_told, merged_times, newer

COLUMNS = {
    "name": "text",
    "alias": "text",
    "position": "text",
    "status": "bigint",
    "main_department_id": "bigint",
}


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

    @property
    def left(self) -> bool:
        """Whether the member is gone after this event."""
        return self.gone or self.status == LEFT

    @property
    def values(self) -> dict[str, Any]:
        """What the event says, by column; ``departments`` among them."""
        named = {name: getattr(self, name) for name in (*COLUMNS, "departments")}
        told = {name: value for name, value in named.items() if value is not None}
        return {**told, "status": LEFT} if self.left else told


def record_member_events(events: Sequence[MemberEvent]) -> None:
    """Apply what callbacks told about members, each value as of its time; tells who left and who is back."""
    if not events:
        return
    merged = rename([Renaming(e.userid, e.new_userid, e.at) for e in events if e.new_userid])
    ids = ensure_staff(event.new_userid or event.userid for event in events)
    folded: dict[int, Told] = {}
    for event in events:
        told = folded.setdefault(ids[(event.new_userid or event.userid).casefold()], Told())
        told.add(event.at, event.left, event.values)
    for gone_id, told in _told_of(merged).items():
        folded.setdefault(merged[gone_id], Told()).take(told)
    _apply(folded)
    _doubt(sorted(set(merged.values())))


def doubt_members(userids: Iterable[str]) -> None:
    """Have WeCom asked about these members; they may have left, or come back."""
    if ids := sorted(ensure_staff(userids).values()):
        _doubt(ids)


def want_staff_list() -> None:
    """Have the whole list of members and departments read again."""
    publish(StaffListDoubted())


def _told_of(merged: Mapping[int, int]) -> dict[int, Told]:
    """What callbacks told of rows that are folded into others; the rows are emptied of it."""
    if not merged:
        return {}
    rows = session().scalars(
        select(Staff).where(Staff.id.in_(merged)).execution_options(populate_existing=True)
    )
    found = {row.id: _read_back(row) for row in rows if row.told_at is not None}
    replace_departments(dict.fromkeys(sorted(merged), ()))
    return found


def _read_back(row: Staff) -> Told:
    """A row's values as they were told."""
    told = Told()
    departments = select(StaffDepartment.department_id, StaffDepartment.is_leader)
    belongs = [tuple(d) for d in session().execute(departments.where(StaffDepartment.staff_id == row.id))]
    for column, at in row.told.items():
        value = belongs if column == "departments" else getattr(row, column)
        told.add(datetime.fromisoformat(at), False, {column: value})
    if row.told_at is not None:
        told.add(row.told_at, row.left_at == row.told_at, {})
    return told


def _apply(folded: Mapping[int, Told]) -> None:
    if not folded:
        return
    rows = [folded[id_].row(id_) for id_ in sorted(folded)]
    changed = session().execute(_MERGE, {"rows": orjson.dumps(rows).decode()}).all()
    tell_presence(changed)
    replace_departments({row.id: folded[row.id].values["departments"] for row in changed if row.moved})
    _doubt(sorted(row.id for row in changed if row.is_late or folded[row.id].tied))


_LATEST = "(r.at > GREATEST(staff.told_at, staff.left_at, '-infinity') OR (r.at = staff.told_at AND r.gone))"
_LEFT_AT = f"CASE WHEN {_LATEST} THEN CASE WHEN r.gone THEN r.at END ELSE staff.left_at END"
_MERGE = text(f"""
WITH r AS MATERIALIZED (
  SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, told jsonb, at timestamptz,
    first_at timestamptz, gone boolean, {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())})),
held AS MATERIALIZED (SELECT id FROM staff WHERE id IN (SELECT id FROM r) ORDER BY id FOR UPDATE)
UPDATE staff SET {", ".join(kept_or_told("staff", name) for name in COLUMNS if name != "status")},
  status = CASE WHEN ({_LEFT_AT}) IS NOT NULL THEN {LEFT}
    ELSE NULLIF(CASE WHEN {newer("staff", "status")} THEN r.status ELSE staff.status END, {LEFT}) END,
  left_at = {_LEFT_AT}, told = {merged_times("staff")}, told_at = GREATEST(staff.told_at, r.at), updated_at = now()
FROM r JOIN held ON held.id = r.id
WHERE staff.id = r.id
RETURNING {PRESENCE}, COALESCE({newer("old", "departments")}, false) AS moved,
  COALESCE(r.first_at <= old.told_at AND (old.refreshed_at > old.told_at + interval '1 s') IS NOT TRUE, false) AS is_late
""")  # noqa: S608  # constants of this package


def _doubt(ids: Sequence[int]) -> None:
    """Have WeCom asked about these members."""
    if ids:
        session().execute(_DOUBT, {"ids": ids})
        publish(StaffFound(tuple(ids)))


_DOUBT = text("UPDATE staff SET refreshed_at = NULL WHERE id = ANY(CAST(:ids AS bigint[]))")
