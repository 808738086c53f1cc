"""Is there something to do? The clock asks before it wakes a job; the jobs ask the same to find it."""

from __future__ import annotations

from sqlalchemy import Select, and_, exists, or_, select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.transfers.models import OPEN_ITEMS, ItemState, PlanState, TransferItem, TransferPlan


def to_ask() -> Select[int]:
    """Ids of active plans with items that may be asked for now, or with nothing open any more."""
    item, plan = TransferItem, TransferPlan
    ready = or_(item.not_before.is_(None), item.not_before <= utcnow())
    planned = exists().where(item.plan_id == plan.id, item.state == ItemState.PLANNED, ready)
    open_item = exists().where(item.plan_id == plan.id, item.state.in_(OPEN_ITEMS))
    return (
        select(plan.id)
        .where(and_(plan.state == PlanState.ACTIVE, or_(planned, ~open_item)))
        .order_by(plan.id)
    )


def asking_is_due() -> bool:
    """An active plan has somebody to ask for."""
    return bool(session().scalar(select(to_ask().exists())))
