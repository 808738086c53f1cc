"""Reading customers. Whatever returns customers takes a Scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, text, true
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff


def visible(scope: Scope) -> ColumnElement[bool]:
    """The clause that limits a select of customers to a scope: an active follow by one of its staff."""
    if scope.everyone:
        return true()
    follow = aliased(Follow)  # so that the caller's own select may contain follows
    followed = select(follow.id).where(
        follow.customer_id == Customer.id,
        follow.staff_id.in_(scope.staff_ids),
        follow.status == FollowStatus.ACTIVE,
    )
    return followed.correlate(Customer).exists()


def customer_page(scope: Scope, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of customers, newest row first.

    :param filters: ``q`` (start of the name), ``external_userid``, ``staff_id``, ``status`` of a follow (with
        ``staff_id``: of that follow), and paging
    """
    statement = select(Customer).where(visible(scope))
    if q := filters.get("q"):
        statement = statement.where(func.lower(Customer.name).startswith(q.lower(), autoescape=True))
    if external_userid := filters.get("external_userid"):
        statement = statement.where(Customer.external_userid == external_userid)
    statement = _followed(statement, filters)
    page = paginate(statement, Customer.id, filters)
    _attach_follows(page["items"])
    return page


def _followed(statement: Select[Any], filters: dict[str, Any]) -> Select[Any]:
    conditions = [Follow.customer_id == Customer.id]
    if (staff_id := filters.get("staff_id")) is not None:
        conditions.append(Follow.staff_id == staff_id)
    if status := filters.get("status"):
        conditions.append(Follow.status == FollowStatus(status))
    return statement if len(conditions) == 1 else statement.where(exists().where(*conditions))


def customer_by_id(scope: Scope, customer_id: int) -> Customer:
    """One customer; raises NotFound, also for one outside the scope."""
    found: Customer | None = (
        session().scalars(select(Customer).where(Customer.id == customer_id, visible(scope))).one_or_none()
    )
    if found is None:
        raise NotFound(f"there is no customer {customer_id}, or it lies outside this key's data scope")
    return found


def follow_of(scope: Scope, customer_id: int, staff_id: int) -> tuple[Follow, Customer, str]:
    """(follow, customer, userid) of one relation in scope; raises NotFound."""
    row = (
        session()
        .execute(
            select(Follow, Customer, Staff.userid)
            .join(Customer, Customer.id == Follow.customer_id)
            .join(Staff, Staff.id == Follow.staff_id)
            .where(Follow.customer_id == customer_id, Follow.staff_id == staff_id, visible(scope))
        )
        .one_or_none()
    )
    if row is None or not (scope.everyone or staff_id in scope.staff_ids):
        raise NotFound(
            f"staff {staff_id} does not follow customer {customer_id}, or it lies outside this key's data scope"
        )
    return row[0], row[1], row[2]


def _attach_follows(customers: list[Customer]) -> None:
    """Set ``follows`` of each: relations with userid and name of the member."""
    rows = session().execute(
        select(Follow, Staff.userid, Staff.name)
        .join(Staff, Staff.id == Follow.staff_id)
        .where(Follow.customer_id.in_([customer.id for customer in customers]))
        .order_by(Follow.id)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for follow, userid, name in rows:
        shown = {"staff_id": follow.staff_id, "userid": userid, "staff_name": name, "remark": follow.remark}
        times = {"status": follow.status, "added_at": follow.added_at, "state": follow.state}
        found.setdefault(follow.customer_id, []).append({**shown, **times, "add_way": follow.add_way})
    for customer in customers:
        customer.follows = found.get(customer.id, [])  # type: ignore[attr-defined]  # for the schema only


@dataclass(frozen=True)
class Wanted:
    """A customer to fetch; ``userid``: its only follower, when one active relation is all we know of it."""

    external_userid: str
    userid: str | None


def refresh_due(waiting_seconds: float = 0.0) -> bool:
    """Whether the details of some customer, wanted for at least so long, should be fetched now."""
    long_enough = Customer.refresh_wanted_at <= utcnow() - timedelta(seconds=waiting_seconds)
    return bool(session().scalar(select(exists().where(*_due(), long_enough))))


def wanted_customers(limit: int) -> list[Wanted]:
    """Customers whose details should be fetched now, longest waiting first."""
    chosen = select(Customer.id).where(*_due()).order_by(Customer.refresh_wanted_at).limit(limit)
    rows = session().execute(_WANTED, {"ids": list(session().scalars(chosen))})
    return [Wanted(row.external_userid, row.userid) for row in rows]


def _due() -> tuple[ColumnElement[bool], ...]:
    now = utcnow()
    return (
        Customer.refresh_wanted_at <= now,
        or_(Customer.refresh_after.is_(None), Customer.refresh_after <= now),
    )


_WANTED = text("""
SELECT c.external_userid, CASE WHEN count(f.id) = 1 AND bool_and(f.status = 'active') THEN min(s.userid) END AS userid
FROM customers c LEFT JOIN follows f ON f.customer_id = c.id LEFT JOIN staff s ON s.id = f.staff_id
WHERE c.id = ANY(CAST(:ids AS bigint[])) GROUP BY c.id ORDER BY c.id
""")


def relations_end(after: int, count: int) -> int | None:
    """Id of the last of the next ``count`` relations with ids over ``after``; None when there are none.

    For work through all relations: a span of ids may hold hardly any, because numbers are left out wherever an insert
    met a row that was there.
    """
    ahead = select(Follow.id).where(Follow.id > after).order_by(Follow.id).limit(count).subquery()
    end: int | None = session().scalar(select(func.max(ahead.c.id)))
    return end


def customer_counts(userids: list[str]) -> dict[str, int]:
    """How many customers WeCom would list for each of these members, by userid, as far as we know."""
    rows = session().execute(
        select(Staff.userid, func.count(Follow.id).label("number"))
        .join(Follow, Follow.staff_id == Staff.id)
        .where(
            Staff.userid.in_(userids),
            Follow.status.in_([FollowStatus.ACTIVE, FollowStatus.DELETED_BY_CUSTOMER]),
        )
        .group_by(Staff.userid)
    )
    return {row.userid: row.number for row in rows}
