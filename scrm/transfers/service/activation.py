"""Starting, pausing and cancelling plans."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import BigInteger, Text, case, cast, func, insert, literal, select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff
from scrm.transfers.events import PlanStarted
from scrm.transfers.models import ItemState, PlanKind, PlanState, Reason, TransferItem, TransferPlan
from scrm.transfers.queries.candidates import candidates
from scrm.transfers.queries.distribution import distributed
from scrm.transfers.queries.receivers import slots
from scrm.transfers.queries.visibility import plan_for
from scrm.transfers.service.plans import check_kind
from scrm.transfers.service.states import finish_plans, may_become, move, refuse
from scrm.transfers.service.unassigned import collect_own
from scrm.wecom.effects import cancel
from tags.rules.compiler import validate_condition

log = structlog.get_logger(__name__)


def activate_plan(plan_id: int, scope: Scope) -> TransferPlan:
    """Fix who goes to whom, once, and begin to ask; who cannot be handed over gets a row with the reason.

    :raises Conflict: the plan is no draft, or nothing can be handed over
    :raises InvalidInput: a condition names something that has gone since; the member left or came back
    """
    plan = plan_for(plan_id, scope, lock=True)
    if plan.state is not PlanState.DRAFT:
        raise refuse(plan, "activate", PlanState.ACTIVE)
    member = session().get_one(Staff, plan.from_staff_id)
    check_kind(plan.kind, member)
    if plan.kind is PlanKind.RESIGNED:
        collect_own([plan.from_staff_id])
    # Two plans of one member at the same moment would both take the same customers.
    hold_in_transaction(f"transfers:{plan.from_staff_id}")
    freeze(plan)
    planned = _planned(plan_id)
    if not planned:
        raise Conflict(f"transfer plan {plan_id}: nothing can be handed over; the preview says why for each")
    move([plan_id], PlanState.ACTIVE, only=[PlanState.DRAFT], activated_at=utcnow(), error=None)
    log.info("transfer plan activated", plan=plan_id, items=planned)
    publish(PlanStarted(plan_id))
    return plan_for(plan_id, scope)


def freeze(plan: TransferPlan) -> None:
    """Write the items of a plan by one statement."""
    for number, share in enumerate((plan.rule or {}).get("shares") or []):
        if share.get("condition"):  # "has not <a tag deleted since>" would be everybody
            validate_condition(share["condition"], f"rule.shares.{number}.condition")
    rows = distributed(plan, candidates(plan), slots(plan)).subquery("rows")
    state = case((rows.c.reason.is_(None), ItemState.PLANNED.value), else_=ItemState.FAILED.value)
    settled = case((rows.c.reason.is_not(None), utcnow()))
    columns = {
        "plan_id": cast(literal(plan.id), BigInteger),
        "from_staff_id": cast(literal(plan.from_staff_id), BigInteger),
        "to_staff_id": rows.c.to_staff_id,
        "customer_id": rows.c.customer_id,
        "group_id": rows.c.group_id,
        "share": rows.c.share,
        "state": cast(state, Text),
        "reason": rows.c.reason,
        "possible_at": rows.c.possible_at,
        "settled_at": settled,
        "tried": literal([], TransferItem.tried.type),
    }
    ordered = select(*columns.values()).order_by(rows.c.customer_id, rows.c.group_id)
    session().execute(insert(TransferItem).from_select(list(columns), ordered, include_defaults=False))


def _planned(plan_id: int) -> int:
    counted = select(func.count()).where(
        TransferItem.plan_id == plan_id, TransferItem.state == ItemState.PLANNED
    )
    return session().scalar(counted) or 0


def pause_plan(plan_id: int, scope: Scope) -> TransferPlan:
    """Ask for nothing further and take back calls that have not left; what WeCom has taken on goes on."""
    plan = plan_for(plan_id, scope, lock=True)
    if not move([plan_id], PlanState.PAUSED, error=None):
        raise refuse(plan, "pause", PlanState.PAUSED)
    take_back_calls(plan_id)
    return plan_for(plan_id, scope)


def resume_plan(plan_id: int, scope: Scope) -> TransferPlan:
    """Go on after a pause."""
    plan = plan_for(plan_id, scope, lock=True)
    if not move([plan_id], PlanState.ACTIVE, only=[PlanState.PAUSED], error=None):
        raise Conflict(f"transfer plan {plan_id} is {plan.state}; only a paused one can be resumed")
    publish(PlanStarted(plan_id))
    finish_plans([plan_id])
    return plan_for(plan_id, scope)


def cancel_plan(plan_id: int, scope: Scope) -> TransferPlan:
    """Cancel what was not asked for. WeCom cannot take back what it has taken on: that is followed to its end."""
    plan = plan_for(plan_id, scope, lock=True)
    if not move([plan_id], PlanState.CANCELLED, finished_at=utcnow()):
        raise refuse(plan, "cancel", PlanState.CANCELLED)
    session().execute(_CANCEL_PLANNED, {"plan": plan_id, "now": utcnow(), "reason": Reason.PLAN_CANCELLED})
    take_back_calls(plan_id)
    return plan_for(plan_id, scope)


_CANCEL_PLANNED = text("""
UPDATE transfer_items SET state = 'cancelled', reason = :reason, settled_at = :now
WHERE plan_id = :plan AND state = 'planned'
""")


def take_back_calls(plan_id: int) -> None:
    """Cancel the effects of this plan that have not been sent; their settlement is told in this transaction."""
    cancel(list(session().scalars(_UNSENT, {"plan": plan_id})))


_UNSENT = text("""
SELECT e.key FROM transfer_calls c JOIN effects e ON e.id = c.effect_id
WHERE c.plan_id = :plan AND c.settled_at IS NULL AND e.state = 'planned' ORDER BY e.key
""")


def pause_for_returned(staff_ids: Sequence[int]) -> None:
    """Members who had left are back: what was planned because they left stops; drafts made by the program go."""
    ids = sorted(staff_ids)
    resigned = (TransferPlan.from_staff_id.in_(ids), TransferPlan.kind == PlanKind.RESIGNED)
    plans = session().execute(
        select(TransferPlan.id, TransferPlan.state, TransferPlan.automatic)
        .where(*resigned, TransferPlan.state.in_([PlanState.DRAFT, PlanState.ACTIVE]))
        .with_for_update(key_share=True)
        .order_by(TransferPlan.id)
    )
    rows = plans.all()
    now = utcnow()
    move(
        [r.id for r in rows if r.state == PlanState.DRAFT and r.automatic],
        PlanState.CANCELLED,
        finished_at=now,
    )
    running = [row.id for row in rows if row.state == PlanState.ACTIVE]
    for plan_id in move(running, PlanState.PAUSED, error="the member is back / 成员已返岗"):
        take_back_calls(plan_id)


def stop_for_left(staff_ids: Sequence[int]) -> None:
    """Members left in the middle of handing over on the job: what was not asked for goes the resigned way."""
    statement = (
        select(TransferPlan.id)
        .where(
            TransferPlan.from_staff_id.in_(sorted(staff_ids)),
            TransferPlan.kind == PlanKind.ON_JOB,
            TransferPlan.state.in_(may_become(PlanState.CANCELLED)),
        )
        .with_for_update(key_share=True)
        .order_by(TransferPlan.id)
    )
    now = utcnow()
    plans = session().scalars(statement).all()
    for plan_id in move(plans, PlanState.CANCELLED, finished_at=now, error="the member left / 成员已离职"):
        session().execute(_CANCEL_PLANNED, {"plan": plan_id, "now": now, "reason": Reason.MEMBER_LEFT})
        take_back_calls(plan_id)
