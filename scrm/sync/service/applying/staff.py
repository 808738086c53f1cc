"""Departments, members and who serves customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from scrm.kernel.db import session
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.staff.service import (
    DepartmentSeen,
    MemberSeen,
    apply_departments,
    apply_members,
    bulk,
    note_departments_gone,
    staff_ids,
)
from scrm.staff.service.memberships import LEFT
from scrm.staff.service.parsing import shows_everything
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import parts, staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.members import note_tried
from scrm.sync.service.tally import counted

VALUES = ("name", "alias", "position", "status", "main_department_id")


def compare_departments(run: SyncRun, part: SyncPart) -> Done:
    """Note departments that are missing, and members when every department could be read.

    Nobody is missing for an app that does not see the whole corp: the others are only hidden from it.
    """
    shown = [int(item.key) for item in staging.items_of_part(part.id, "departments")]
    if part.started_at is None or not shows_everything(shown):
        return Done()
    gone = bulk.missing_departments(shown, part.started_at)
    staging.miss(part.id, "departments", [(id_, str(id_)) for id_ in gone])
    if shown and parts.all_read(run.id, "members", "member_ids"):
        members = [item.key for name in ("members", "member_ids") for item in staging.items_of(run.id, name)]
        missing = bulk.missing_members(members, part.started_at)
        staging.miss(part.id, "members", [(row.id, row.userid) for row in missing])
    return Done()


def apply_tree(run: SyncRun, part: SyncPart) -> Done:
    """Write departments that are new or differ."""
    names = {item.key: item.body["name"] for item in staging.items_of(run.id, "department_names")}
    items = staging.items_of_part(part.id, "departments")
    shown = [DepartmentSeen(**item.body, name=names.get(item.key)) for item in items]
    ours = {row.id: row for row in session().scalars(select(Department))}
    new = [one for one in shown if one.id not in ours]
    changed = [one for one in shown if one.id in ours and _differs(one, ours[one.id])]
    if part.started_at is not None:
        apply_departments([*new, *changed], part.started_at)
    counts = counted(
        seen=len(shown), new=len(new), changed=len(changed),
        new_ids=[one.id for one in new], changed_ids=[one.id for one in changed],
    )  # fmt: skip
    return Done({"departments": counts})


def _differs(shown: DepartmentSeen, ours: Department) -> bool:
    told = {"name": shown.name, "parent_id": shown.parent_id}
    differing = any(value is not None and getattr(ours, name) != value for name, value in told.items())
    moved = ours.position != (shown.position or 0)
    return differing or moved or ours.deleted_at is not None or ours.doubtful


def apply_people(run: SyncRun, part: SyncPart) -> Done:
    """Write members that are new or differ."""
    shown = {member.userid.casefold(): member for member in _members(part)}
    ids = staff_ids(shown)
    ours = {row.id: row for row in session().scalars(select(Staff).where(Staff.id.in_(ids.values())))}
    departments = _departments(list(ours))
    new = [member for key, member in shown.items() if key not in ids]
    known = [(member, ours[ids[key]]) for key, member in shown.items() if key in ids]
    changed = [
        _with_leads(member, departments.get(row.id, {}))
        for member, row in known
        if _member_differs(member, row, departments.get(row.id, {}))
    ]
    if part.started_at is not None:
        apply_members([*new, *changed], part.started_at)
    fresh = staff_ids(member.userid for member in new)
    counts = counted(
        seen=len(shown), new=len(new), changed=len(changed), new_ids=list(fresh.values()),
        changed_ids=[ids[member.userid.casefold()] for member in changed],
    )  # fmt: skip
    return Done({"members": counts})


def _members(part: SyncPart) -> list[MemberSeen]:
    rows = [
        {**item.body, "departments": tuple((int(id_), bool(lead)) for id_, lead in item.body["departments"])}
        for item in staging.items_of_part(part.id, "members")
    ]
    named: dict[str, set[int]] = {}
    for item in staging.items_of_part(part.id, "member_ids"):
        named.setdefault(item.key, set()).add(item.body["department"])
    by_id = [
        MemberSeen(key, departments=tuple((d, False) for d in sorted(ids))) for key, ids in named.items()
    ]
    return [*(MemberSeen(**row) for row in rows), *by_id]


def _departments(ids: list[int]) -> dict[int, dict[int, bool]]:
    found: dict[int, dict[int, bool]] = {}
    rows = session().scalars(select(StaffDepartment).where(StaffDepartment.staff_id.in_(ids)))
    for row in rows:
        found.setdefault(row.staff_id, {})[row.department_id] = row.is_leader
    return found


def _only_ids(shown: MemberSeen) -> bool:
    """Whether WeCom showed nothing but departments: then it did not say who leads them either."""
    return all(getattr(shown, name) is None for name in ("alias", "position", "status"))


def _with_leads(shown: MemberSeen, ours: Mapping[int, bool]) -> MemberSeen:
    if not _only_ids(shown):
        return shown
    return replace(shown, departments=tuple((id_, ours.get(id_, False)) for id_, _ in shown.departments))


def _member_differs(shown: MemberSeen, ours: Staff, departments: Mapping[int, bool]) -> bool:
    values = {name: getattr(shown, name) for name in VALUES}
    if any(value is not None and getattr(ours, name) != value for name, value in values.items()):
        return True
    if shown.status != LEFT and (ours.left_at is not None or ours.refreshed_at is None):
        return True
    same: Any = set(departments) == {id_ for id_, _ in shown.departments}
    return not (same if _only_ids(shown) else departments == dict(shown.departments))


def compare_follow_users(run: SyncRun, part: SyncPart) -> Done:
    """Note members who are no longer listed as serving customers."""
    shown = [item.key for item in staging.items_of_part(part.id, "follow_users")]
    missing = bulk.missing_follow_users(shown)
    staging.miss(part.id, "follow_users", [(row.id, row.userid) for row in missing])
    return Done()


def apply_follow_users(run: SyncRun, part: SyncPart) -> Done:
    """Write who serves customers now."""
    shown = [item.key for item in staging.items_of_part(part.id, "follow_users")]
    new = bulk.add_follow_users(shown)
    if "customers" in run.entities:
        note_tried(shown)
    return Done({"follow_users": counted(seen=len(shown), new=len(new), new_ids=new)})


def close_departments(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Departments are gone."""
    if part.started_at is not None:
        note_departments_gone(ids, part.started_at)
    return Done({"departments": counted(gone=len(ids), gone_ids=ids)})


def close_members(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Members left; whoever takes care of their customers hears of it."""
    gone = bulk.close_members(ids, part.started_at) if part.started_at is not None else []
    return Done({"members": counted(gone=len(gone), gone_ids=gone)})


def close_follow_users(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Members no longer serve customers; their relations stay as they were."""
    gone = bulk.drop_follow_users(ids)
    return Done({"follow_users": counted(gone=len(gone), gone_ids=gone)})
