"""The use-cases of staff by name; the files behind them may be cut differently at any time."""

from scrm.staff.service.answers import (
    MemberSeen,
    apply_members,
    close_missing_members,
    note_members_asked,
    set_follow_users,
)
from scrm.staff.service.departments import (
    DepartmentEvent,
    DepartmentSeen,
    apply_departments,
    note_departments_gone,
    record_department_events,
)
from scrm.staff.service.members import MemberEvent, doubt_members, record_member_events, want_staff_list
from scrm.staff.service.naming import ensure_staff, staff_ids

__all__ = [
    "DepartmentEvent",
    "DepartmentSeen",
    "MemberEvent",
    "MemberSeen",
    "apply_departments",
    "apply_members",
    "close_missing_members",
    "doubt_members",
    "ensure_staff",
    "note_departments_gone",
    "note_members_asked",
    "record_department_events",
    "record_member_events",
    "set_follow_users",
    "staff_ids",
    "want_staff_list",
]
