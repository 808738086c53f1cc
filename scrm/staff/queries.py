"""Reading members and departments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.staff.service.memberships import SAME_MOMENT

TREE_DEPTH = 15  # departments are at most this deep (wecom-api.md section 5.3); it also ends a circle


def staff_page(scope: Scope, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of members, newest row first.

    :param scope: a limited one shows its own staff only
    :param filters: ``q`` (start of name or userid), ``department_id`` (with everything below it),
        ``follows_customers``, ``left``, and paging
    """
    statement = _in_scope(select(Staff), scope)
    if q := filters.get("q"):
        start = q.lower()
        statement = statement.where(
            or_(
                func.lower(Staff.name).startswith(start, autoescape=True),
                func.lower(Staff.userid).startswith(start, autoescape=True),
            )
        )
    if (department := filters.get("department_id")) is not None:
        statement = statement.where(Staff.id.in_(staff_of_departments([department])))
    if (follows := filters.get("follows_customers")) is not None:
        statement = statement.where(Staff.follows_customers == follows)
    if (left := filters.get("left")) is not None:
        statement = statement.where(Staff.left_at.isnot(None) if left else Staff.left_at.is_(None))
    page = paginate(statement, Staff.id, filters)
    _attach_departments(page["items"])
    return page


def staff_by_id(scope: Scope, staff_id: int) -> Staff:
    """One member with ``departments``; raises NotFound."""
    statement = _in_scope(select(Staff), scope).where(Staff.id == staff_id)
    found: Staff | None = session().scalars(statement).one_or_none()
    if found is None:
        raise NotFound(f"there is no member of staff {staff_id}, or it lies outside this key's data scope")
    _attach_departments([found])
    return found


def missing_staff(ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that belong to no member of staff, in order."""
    there = set(session().scalars(select(Staff.id).where(Staff.id.in_(ids))))
    return sorted(set(ids) - there)


def staff_of_departments(department_ids: list[int]) -> Select[int]:
    """Ids of the members of these departments and of all below them, for use inside another query."""
    tree = department_tree(department_ids)
    return select(StaffDepartment.staff_id).where(StaffDepartment.department_id.in_(tree))


def department_tree(department_ids: list[int]) -> Select[int]:
    """Ids of these departments and of all below them, for use inside another query."""
    tree = (
        select(Department.id)
        .where(Department.id.in_(department_ids), Department.deleted_at.is_(None))
        .cte("department_tree", recursive=True)
    )
    below = select(Department.id).where(Department.parent_id == tree.c.id, Department.deleted_at.is_(None))
    tree = tree.union(below)
    return select(tree.c.id)


def departments() -> list[Department]:
    """All departments that exist, in WeCom's order."""
    there = select(Department).where(Department.deleted_at.is_(None))
    return list(session().scalars(there.order_by(Department.position.desc(), Department.id)))


def staff_below(department_ids: Sequence[int], *, left: bool = False) -> set[int]:
    """Ids of the members of these departments and of all below them; those who left only with ``left``."""
    below = staff_of_departments(list(department_ids))
    found = select(Staff.id).where(Staff.id.in_(below))
    return set(session().scalars(found if left else found.where(Staff.left_at.is_(None))))


def leaders_of(staff_ids: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Who leads these members: per department of theirs its leaders, or those of the nearest one above that has some.

    A member does not lead themself, and leaders who left the corp do not count; who has no leader is not in the answer.
    """
    found: dict[int, tuple[int, ...]] = {}
    for row in session().execute(_LEADERS, {"ids": sorted(set(staff_ids))}):
        found[row.staff_id] = (*found.get(row.staff_id, ()), row.leader_id)
    return found


_LEADERS = text(f"""
WITH RECURSIVE up AS (
  SELECT staff_id, department_id AS start, department_id, 0 AS height FROM staff_departments
  WHERE staff_id = ANY(CAST(:ids AS bigint[]))
  UNION ALL
  SELECT up.staff_id, up.start, d.parent_id, up.height + 1 FROM up JOIN departments d ON d.id = up.department_id
  WHERE d.parent_id IS NOT NULL AND up.height < {TREE_DEPTH}),
nearest AS (
  SELECT up.staff_id, l.staff_id AS leader_id, up.height, min(up.height) OVER (PARTITION BY up.staff_id, up.start) AS lowest
  FROM up JOIN staff_departments l ON l.department_id = up.department_id AND l.is_leader AND l.staff_id <> up.staff_id
  JOIN staff ON staff.id = l.staff_id AND staff.left_at IS NULL)
SELECT DISTINCT staff_id, leader_id FROM nearest WHERE height = lowest ORDER BY 1, 2
""")  # noqa: S608  # constants of this module


def staff_scope(department_ids: list[int]) -> Scope:
    """The data scope of somebody who may see these departments with all below them."""
    return Scope.of_staff(*session().scalars(staff_of_departments(department_ids)))


def userids_to_ask(limit: int) -> list[str]:
    """Members of whom only the name is known, or what is known is doubtful."""
    wanted = select(Staff.userid).where(*_to_ask()).order_by(Staff.id).limit(limit)
    return list(session().scalars(wanted))


def departments_to_ask(limit: int) -> list[int]:
    """Departments about which callbacks said what cannot be believed."""
    wanted = select(Department.id).where(*_doubtful()).order_by(Department.id).limit(limit)
    return list(session().scalars(wanted))


def never_read() -> bool:
    """Whether WeCom's list of members was never read with success."""
    return not session().scalar(select(exists().where(StaffDepartment.staff_id.isnot(None))))


def completion_due() -> bool:
    """Whether there are members or departments to ask WeCom about."""
    members, departments = exists().where(*_to_ask()), exists().where(*_doubtful())
    return bool(session().scalar(select(or_(members, departments)))) or never_read()


def _to_ask() -> tuple[ColumnElement[bool], ...]:
    return Staff.refreshed_at.is_(None), Staff.userid.notlike("%#%"), _second_over(Staff.told_at)


def _doubtful() -> tuple[ColumnElement[bool], ...]:
    return Department.doubtful.is_(True), _second_over(Department.told_at)


def _second_over(told_at: Any) -> ColumnElement[bool]:
    """An answer within the second of an event may be older than the event: it would not be believed."""
    return or_(told_at.is_(None), told_at < utcnow() - SAME_MOMENT)


def _in_scope(statement: Select[Any], scope: Scope) -> Select[Any]:
    return statement if scope.everyone else statement.where(Staff.id.in_(scope.staff_ids))


def _attach_departments(staff: list[Staff]) -> None:
    """Set ``departments`` of each: [{id, name, is_leader}]."""
    rows = session().execute(
        select(
            StaffDepartment.staff_id,
            StaffDepartment.department_id,
            Department.name,
            StaffDepartment.is_leader,
        )
        .outerjoin(Department, Department.id == StaffDepartment.department_id)
        .where(StaffDepartment.staff_id.in_([member.id for member in staff]))
        .order_by(StaffDepartment.department_id)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for staff_id, department_id, name, is_leader in rows:
        found.setdefault(staff_id, []).append({"id": department_id, "name": name, "is_leader": is_leader})
    for member in staff:
        member.departments = found.get(member.id, [])  # type: ignore[attr-defined]  # for the schema only
