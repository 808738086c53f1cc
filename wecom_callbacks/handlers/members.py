"""Members and departments change (wecom-api.md section 3.6)."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from scrm.staff.service import (
    DepartmentEvent,
    MemberEvent,
    doubt_members,
    record_department_events,
    record_member_events,
)
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, ignoring, named, text

EVENT = "change_contact"


def member_changed(batch: Batch) -> Reasons:
    """A member came, changed (a new userid too) or left."""
    told, ignored = named(batch, "UserID")
    record_member_events([_member(one) for one in told])
    doubt_members(_userid_now(one) for one in told if _half_told(one))
    return ignored


def _half_told(callback: Callback) -> bool:
    """Whether a change names departments or who leads them, and not the other: WeCom then has to be asked."""
    named_parts = {name for name in ("Department", "IsLeaderInDept") if _numbers(callback.fields.get(name))}
    return callback.change_type == "update_user" and len(named_parts) == 1


def _userid_now(callback: Callback) -> str:
    return text(callback.fields.get("NewUserID")) or str(callback.fields["UserID"])


def department_changed(batch: Batch) -> Reasons:
    """A department came, changed or was deleted."""
    told = [one for one in batch if _number(one.fields.get("Id")) is not None]
    record_department_events([_department(one) for one in told])
    return ignoring(batch, told, Ignored.INCOMPLETE)


for _kind in ("create_user", "update_user", "delete_user"):
    handles(EVENT, _kind)(member_changed)
for _kind in ("create_party", "update_party", "delete_party"):
    handles(EVENT, _kind)(department_changed)


@handles(EVENT, "update_tag")
def member_tag_changed(batch: Batch) -> Reasons:
    """A tag of members (通讯录标签) was changed; customers are not marked with these."""
    return ignoring(batch, [], Ignored.MEMBER_TAG)


def _member(callback: Callback) -> MemberEvent:
    fields = callback.fields
    return MemberEvent(
        userid=fields["UserID"],
        at=callback.event_at,
        gone=callback.change_type == "delete_user",
        new_userid=text(fields.get("NewUserID")),
        name=text(fields.get("Name")),
        alias=text(fields.get("Alias")),
        position=text(fields.get("Position")),
        status=_number(fields.get("Status")),
        main_department_id=_number(fields.get("MainDepartment")),
        departments=_departments(fields),
    )


def _departments(fields: dict[str, Any]) -> tuple[tuple[int, bool], ...] | None:
    """(department, leads it) from the parallel lists "1,2" and "1,0"; None when the event names no department."""
    ids = _numbers(fields.get("Department"))
    if not ids:
        return None
    leads = _numbers(fields.get("IsLeaderInDept"))[: len(ids)]
    return tuple((id_, bool(lead)) for id_, lead in zip_longest(ids, leads, fillvalue=0))


def _department(callback: Callback) -> DepartmentEvent:
    fields = callback.fields
    return DepartmentEvent(
        id=int(fields["Id"]),
        at=callback.event_at,
        gone=callback.change_type == "delete_party",
        name=text(fields.get("Name")),
        parent_id=_number(fields.get("ParentId")),
        position=_number(fields.get("Order")),
    )


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _numbers(value: Any) -> list[int]:
    return [int(part) for part in (text(value) or "").split(",") if part.strip().isdecimal()]
