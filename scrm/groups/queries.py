"""Reading customer groups. A limited scope sees groups that its staff own or are in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, true

from scrm.groups.models import CustomerGroup, GroupStatus, GroupStay
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff


def visible(scope: Scope) -> ColumnElement[bool]:
    """The clause that limits a select of groups to a scope."""
    if scope.everyone:
        return true()
    present = select(GroupStay.id).where(
        GroupStay.group_id == CustomerGroup.id,
        GroupStay.staff_id.in_(scope.staff_ids),
        GroupStay.left_at.is_(None),
    )
    owned = CustomerGroup.owner_staff_id.in_(scope.staff_ids)
    return or_(owned, present.correlate(CustomerGroup).exists())


def group_page(scope: Scope, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of groups, newest row first.

    :param filters: ``q`` (start of the name), ``owner_staff_id``, ``status``, ``customer_id`` (is in it), and paging
    """
    statement = select(CustomerGroup).where(visible(scope))
    if q := filters.get("q"):
        statement = statement.where(func.lower(CustomerGroup.name).startswith(q.lower(), autoescape=True))
    if (owner := filters.get("owner_staff_id")) is not None:
        statement = statement.where(CustomerGroup.owner_staff_id == owner)
    if status := filters.get("status"):
        statement = statement.where(CustomerGroup.status == GroupStatus(status))
    if (customer_id := filters.get("customer_id")) is not None:
        inside = select(GroupStay.group_id).where(
            GroupStay.customer_id == customer_id, GroupStay.left_at.is_(None)
        )
        statement = statement.where(CustomerGroup.id.in_(inside))
    page = paginate(statement, CustomerGroup.id, filters)
    _attach(page["items"])
    return page


def group_by_id(scope: Scope, group_id: int) -> CustomerGroup:
    """One group; raises NotFound, also for one outside the scope."""
    found: CustomerGroup | None = (
        session()
        .scalars(select(CustomerGroup).where(CustomerGroup.id == group_id, visible(scope)))
        .one_or_none()
    )
    if found is None:
        raise NotFound(f"there is no group {group_id}, or it lies outside this key's data scope")
    _attach([found])
    return found


def member_page(scope: Scope, group_id: int, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of stays in a group, newest row first; ``present`` limits to those who are (or are no longer) in it."""
    group_by_id(scope, group_id)
    statement = select(GroupStay).where(GroupStay.group_id == group_id)
    if (present := filters.get("present")) is not None:
        statement = statement.where(GroupStay.left_at.is_(None) if present else GroupStay.left_at.isnot(None))
    return paginate(statement, GroupStay.id, filters)


def _attach(groups: list[CustomerGroup]) -> None:
    """Set ``owner_userid`` and ``members`` (how many are present) of each."""
    ids = [group.id for group in groups]
    counted = session().execute(
        select(GroupStay.group_id, func.count().label("members"))
        .where(GroupStay.group_id.in_(ids), GroupStay.left_at.is_(None))
        .group_by(GroupStay.group_id)
    )
    members = {row.group_id: row.members for row in counted}
    owners = session().execute(
        select(Staff.id, Staff.userid).where(Staff.id.in_([g.owner_staff_id for g in groups]))
    )
    userids = {row.id: row.userid for row in owners}
    for group in groups:
        group.members = members.get(group.id, 0)  # type: ignore[attr-defined]  # for the schema only
        group.owner_userid = userids.get(group.owner_staff_id or 0)  # type: ignore[attr-defined]  # same


@dataclass(frozen=True)
class WantedGroup:
    """A group to read, with our version of its members before the question."""

    chat_id: str
    version: str | None


def refresh_due() -> bool:
    """Whether some group should be read now."""
    return bool(session().scalar(select(exists().where(*_due()))))


def wanted_groups(limit: int) -> list[WantedGroup]:
    """Groups that should be read now, longest waiting first."""
    rows = session().execute(
        select(CustomerGroup.chat_id, CustomerGroup.member_version)
        .where(*_due())
        .order_by(CustomerGroup.refresh_wanted_at)
        .limit(limit)
    )
    return [WantedGroup(row.chat_id, row.member_version) for row in rows]


def _due() -> tuple[ColumnElement[bool], ...]:
    now = utcnow()
    return (
        CustomerGroup.refresh_wanted_at <= now,
        or_(CustomerGroup.refresh_after.is_(None), CustomerGroup.refresh_after <= now),
    )


def customers_of_groups(group_ids: Iterable[int]) -> list[tuple[int, int]]:
    """(group id, customer id) of the customers who are in these groups now."""
    wanted = sorted(group_ids)
    if not wanted:
        return []
    inside = select(GroupStay.group_id, GroupStay.customer_id).where(
        GroupStay.group_id.in_(wanted), GroupStay.left_at.is_(None), GroupStay.customer_id.is_not(None)
    )
    return [(row.group_id, row.customer_id) for row in session().execute(inside.distinct())]
