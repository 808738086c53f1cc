"""Reading plans: lists, the preview, totals, and items page by page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, case, func, select

from scrm.customers.models import Customer
from scrm.groups.models import CustomerGroup
from scrm.kernel.db import session
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff
from scrm.transfers.models import (
    OPEN_ITEMS,
    ItemState,
    PlanState,
    TransferDefault,
    TransferItem,
    TransferPlan,
)
from scrm.transfers.queries.candidates import candidates
from scrm.transfers.queries.distribution import distributed
from scrm.transfers.queries.receivers import slots, unable_receivers
from scrm.transfers.queries.visibility import plan_for, visible
from tags.arrays import is_one_of
from tags.rules.queries.veiling import Reader

A_CALL, GROUPS_A_DAY = 100, 300  # wecom-api.md section 4.12


def plan_page(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of plans with their totals, newest first; filters ``state``, ``kind``, ``from_staff_id``, ``automatic``."""
    statement = select(TransferPlan).where(visible(scope))
    for name in ("state", "kind", "from_staff_id", "automatic"):
        if query.get(name) is not None:
            statement = statement.where(getattr(TransferPlan, name) == query[name])
    page = paginate(statement, TransferPlan.id, query)
    _attach(page["items"])
    return page


def plan_detail(plan_id: int, scope: Scope) -> TransferPlan:
    """One plan with ``totals`` ({state: number of items}) and ``from_userid``; NotFound outside the scope."""
    plan = plan_for(plan_id, scope)
    _attach([plan])
    return plan


def plan_shown(reader: Reader, plan: TransferPlan) -> dict[str, Any]:
    """A plan of :func:`plan_detail` or :func:`plan_page` without what the reader may not ask in its shares' conditions."""
    columns = {column.key: getattr(plan, column.key) for column in TransferPlan.__table__.columns}
    told = {name: getattr(plan, name) for name in ("matter", "totals", "from_userid")}
    if not plan.rule or "shares" not in plan.rule:
        return {**columns, **told}
    shares = [
        {**share, "condition": reader.condition(share["condition"])} if share.get("condition") else share
        for share in plan.rule["shares"]
    ]
    return {**columns, **told, "rule": {**plan.rule, "shares": shares}}


def _attach(plans: Sequence[TransferPlan]) -> None:
    item, ids = TransferItem, [plan.id for plan in plans]
    counted = select(item.plan_id, item.state, func.count().label("number")).where(
        is_one_of(item.plan_id, ids)
    )
    totals: dict[int, dict[str, int]] = defaultdict(dict)
    for row in session().execute(counted.group_by(item.plan_id, item.state)):
        totals[row.plan_id][row.state.value] = row.number
    members = select(Staff.id, Staff.userid).where(
        is_one_of(Staff.id, {plan.from_staff_id for plan in plans})
    )
    userids = {row.id: row.userid for row in session().execute(members)}
    for plan in plans:
        plan.totals = totals[plan.id]  # type: ignore[attr-defined]  # for the schema only
        plan.from_userid = userids.get(plan.from_staff_id)  # type: ignore[attr-defined]  # same


def plan_preview(plan_id: int, scope: Scope) -> dict[str, Any]:
    """Who would get how many, who cannot be handed over and why, and what it takes; changes nothing.

    Once the plan was activated the same figures come from its items.
    """
    plan = plan_for(plan_id, scope)
    frozen = plan.state is not PlanState.DRAFT and plan.activated_at is not None
    rows = session().execute(_frozen_counts(plan) if frozen else _live_counts(plan)).all()
    given = [row for row in rows if row.to_staff_id is not None and row.reason is None]
    left = [row for row in rows if row.to_staff_id is None or row.reason is not None]
    return {
        "plan_id": plan_id,
        "frozen": frozen,
        "customers": _sum(given, of_groups=False),
        "groups": _sum(given, of_groups=True),
        "receivers": _receivers(given),
        "unable_receivers": unable_receivers(plan),
        "left_out": {
            "total": sum(row.number for row in left),
            "reasons": [{"reason": r.reason, "of_groups": r.of_groups, "number": r.number} for r in left],
        },
        "calls": sum(-(-row.number // A_CALL) for row in given),
        "days": max((-(-row.number // GROUPS_A_DAY) for row in given if row.of_groups), default=1),
        "too_often_note": "WeCom counts transfers made in the admin console too; some may still be refused with 40128",
    }


def _live_counts(plan: TransferPlan) -> Any:
    rows = distributed(plan, candidates(plan), slots(plan)).subquery("rows")
    receiver = case((rows.c.reason.is_(None), rows.c.to_staff_id))
    columns = (receiver.label("to_staff_id"), rows.c.of_groups, rows.c.reason)
    return select(*columns, func.count().label("number")).group_by(*columns).order_by(*columns)


def _frozen_counts(plan: TransferPlan) -> Any:
    """Items as they were given out; those that failed before anybody was asked count as left out."""
    item = TransferItem
    never = (item.state == ItemState.FAILED) & (item.attempts == 0)
    receiver = case((~never, item.to_staff_id)).label("to_staff_id")
    reason = case((never, item.reason)).label("reason")
    columns = (receiver, item.group_id.is_not(None).label("of_groups"), reason)
    return (
        select(*columns, func.count().label("number"))
        .where(item.plan_id == plan.id)
        .group_by(*columns)
        .order_by(*columns)
    )


def _sum(rows: Sequence[Row[Any]], *, of_groups: bool) -> int:
    return sum(row.number for row in rows if row.of_groups == of_groups)


def _receivers(rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Receivers with userid and name, most first."""
    members = {
        member.id: member
        for member in session().scalars(
            select(Staff).where(is_one_of(Staff.id, {r.to_staff_id for r in rows}))
        )
    }
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        member = members[row.to_staff_id]
        shown = {
            "staff_id": member.id,
            "userid": member.userid,
            "name": member.name,
            "customers": 0,
            "groups": 0,
        }
        found.setdefault(member.id, shown)["groups" if row.of_groups else "customers"] += row.number
    return sorted(found.values(), key=lambda each: (-each["customers"], -each["groups"], each["staff_id"]))


def item_page(plan_id: int, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of a plan's items; filters ``state``, ``to_staff_id``, ``reason``, ``of_groups``, ``customer_id``."""
    plan_for(plan_id, scope)
    item = TransferItem
    statement: Any = (
        select(item, Customer.external_userid, CustomerGroup.chat_id, Staff.userid.label("to_userid"))
        .outerjoin(Customer, Customer.id == item.customer_id)
        .outerjoin(CustomerGroup, CustomerGroup.id == item.group_id)
        .outerjoin(Staff, Staff.id == item.to_staff_id)
        .where(item.plan_id == plan_id)
    )
    for name in ("state", "to_staff_id", "reason", "customer_id"):
        if query.get(name) is not None:
            statement = statement.where(getattr(item, name) == query[name])
    if (of_groups := query.get("of_groups")) is not None:
        statement = statement.where(item.group_id.is_not(None) if of_groups else item.group_id.is_(None))
    page = paginate(statement, item.id, query, descending=False)
    return {**page, "items": [_shown(row) for row in page["items"]]}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    item: TransferItem = row["TransferItem"]
    names = ("external_userid", "chat_id", "to_userid")
    columns = {column.name: getattr(item, column.name) for column in TransferItem.__table__.columns}
    return {**columns, **{name: row[name] for name in names}}


def plan_results(plan_id: int, scope: Scope) -> dict[str, Any]:
    """What became of a plan so far: by state, by reason, and by receiver."""
    plan = plan_for(plan_id, scope)
    item = TransferItem
    columns = (item.to_staff_id, item.state, item.reason, item.errcode)
    counted = select(*columns, func.count().label("number")).where(item.plan_id == plan_id).group_by(*columns)
    rows = session().execute(counted).all()
    totals: dict[str, int] = defaultdict(int)
    receivers: dict[int | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    reasons: dict[tuple[str, str | None, int | None], int] = defaultdict(int)
    for row in rows:
        totals[row.state.value] += row.number
        receivers[row.to_staff_id][row.state.value] += row.number
        if row.reason or row.errcode:
            reasons[row.state.value, row.reason, row.errcode] += row.number
    return {
        "plan_id": plan_id,
        "state": plan.state,
        "totals": totals,
        "open": sum(totals.get(state.value, 0) for state in OPEN_ITEMS),
        "receivers": [
            {"staff_id": id_, "totals": told} for id_, told in receivers.items() if id_ is not None
        ],
        "reasons": [
            {"state": state, "reason": reason, "errcode": errcode, "number": number}
            for (state, reason, errcode), number in sorted(reasons.items(), key=lambda each: -each[1])
        ],
    }


def default_list() -> Sequence[TransferDefault]:
    """What happens when members leave, by department."""
    return session().scalars(select(TransferDefault).order_by(TransferDefault.department_id)).all()
