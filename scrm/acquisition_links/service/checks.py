"""Ids and sizes in a request; the error says which one is wrong. And which app may call this part of WeCom at all."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, text, union

from config.settings import SettingsError
from scrm.acquisition_links.models import AcquisitionLink
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.settings import settings
from scrm.staff.models import Department, Staff
from scrm.staff.queries import staff_of_departments
from tags.queries import unknown_tags

RANGE_MAX = 500  # people of a link, departments expanded (wecom-api.md section 4.14)
SYSTEM_SECRET = {48001, 48002}
NO_APP = (
    "no app has the feature acquisition_links: give it to a self-built app (apps.<name>.features) that is among the "
    "callable apps of 获客助手; the system's 客户联系 secret cannot call it"
)
HINT = "获客助手不能用「客户联系」系统 secret 调用，请使用已加入可调用应用的自建应用 (the system's customer-contact secret cannot call 获客助手: use a self-built app)"


def app_may_call() -> bool:
    """Whether some app is configured that may call 获客助手."""
    try:
        settings().app_for("acquisition_links")
    except SettingsError:
        return False
    return True


def require_app() -> None:
    """:raises Conflict: when no app is configured that may call 获客助手"""
    if not app_may_call():
        raise Conflict(NO_APP)


def reason_of(errcode: int | None, error: str | None) -> str:
    """Why a call failed, for people: errcode first, and the way out where it is the wrong secret."""
    parts = [str(errcode) if errcode else "", error or "", HINT if errcode in SYSTEM_SECRET else ""]
    return " ".join(part for part in parts if part)


def check_link(link: AcquisitionLink, given: Mapping[str, Any]) -> None:
    """What is given must exist, the range must be somebody and at most 500 people.

    :raises InvalidInput: naming the field
    """
    check_staff(given.get("staff_ids", []), "staff_ids")
    check_staff(given.get("priority_staff_ids", []), "priority_staff_ids")
    check_departments(given.get("department_ids", []))
    check_tags(given.get("tag_ids", []))
    if not link.staff_ids and not link.department_ids:
        raise InvalidInput.field("staff_ids", "staff_ids and department_ids may not both be empty")
    if link.priority_staff_ids and link.priority_type is None:
        raise InvalidInput.field("priority_type", "is needed beside priority_staff_ids")
    if (link.accepted or {}).get("priority_type") and link.priority_type is None:
        raise InvalidInput.field("priority_type", "cannot be taken back; make a new link without it")
    if {"staff_ids", "department_ids"} & given.keys() and (people := range_size(link)) > RANGE_MAX:
        raise InvalidInput.field("staff_ids", f"the range is {people} people; WeCom allows {RANGE_MAX}")


def range_size(link: AcquisitionLink) -> int:
    """How many members the range of a link has, departments with everything below them."""
    in_departments = staff_of_departments(link.department_ids).subquery()
    everybody = union(
        select(Staff.id).where(Staff.id.in_(link.staff_ids)),
        select(Staff.id).where(Staff.id.in_(select(in_departments)), Staff.left_at.is_(None)),
    ).subquery()
    return session().scalar(select(func.count()).select_from(everybody)) or 0


def check_staff(staff_ids: Sequence[int], field: str) -> None:
    """:raises InvalidInput: naming the place of a member who does not exist or has left"""
    found = select(Staff.id).where(Staff.id.in_(staff_ids), Staff.left_at.is_(None))
    _refuse(field, staff_ids, set(session().scalars(found)), "member of staff")


def check_departments(department_ids: Sequence[int]) -> None:
    """:raises InvalidInput: naming the place of a department that does not exist"""
    found = select(Department.id).where(Department.id.in_(department_ids), Department.deleted_at.is_(None))
    _refuse("department_ids", department_ids, set(session().scalars(found)), "department")


def check_tags(tag_ids: Sequence[int]) -> None:
    """:raises InvalidInput: naming the place of a tag that does not exist"""
    _refuse("tag_ids", tag_ids, set(tag_ids) - set(unknown_tags(tag_ids)), "tag")


def check_welcome(welcome_id: int | None) -> None:
    """:raises InvalidInput: when there is no such welcome message"""
    if welcome_id is None:
        return
    # By table name: welcome messages are of a package beside this one.
    if not session().scalar(text("SELECT 1 FROM welcome_messages WHERE id = :id"), {"id": welcome_id}):
        raise InvalidInput.field("welcome_id", f"there is no welcome message {welcome_id}")


def check_state(state: str) -> None:
    """:raises InvalidInput: when another way in is told apart by this state already"""
    taken = text("""
    SELECT EXISTS (SELECT FROM link_channels WHERE state = :state)
      OR EXISTS (SELECT FROM channel_codes WHERE state = :state)
    """)
    if session().scalar(taken, {"state": state}):
        raise InvalidInput.field("state", f"{state!r} is in use already")


def _refuse(field: str, given: Sequence[int], known: Container[int], what: str) -> None:
    for place, one in enumerate(given):
        if one not in known:
            raise InvalidInput.field(f"{field}.{place}", f"there is no {what} {one}")
        if one in given[:place]:
            raise InvalidInput.field(f"{field}.{place}", f"{one} is named twice")
