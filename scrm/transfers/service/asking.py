"""Asking WeCom: planned items become calls of at most 100, a few at a time, so that a pause still finds some left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, text

from scrm.kernel.clock import from_zone, in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.staff.models import Staff
from scrm.transfers.models import ItemState, PlanKind, PlanState, Reason, TransferPlan
from scrm.transfers.queries.receivers import able_staff
from scrm.transfers.service.redistributing import Unsuccessful
from scrm.transfers.service.settling import end_try
from scrm.transfers.service.states import finish_plans
from scrm.wecom.effects import Intent
from scrm.wecom.effects import plan as plan_effects
from tags.arrays import is_one_of

MOST = 100  # customers, or groups, of one call (wecom-api.md section 4.12)
GROUPS_A_DAY = 300  # from one owner to the same new owner
AT_ONCE, AT_ONCE_FIRST = (
    8,
    2,
)  # calls under way: until WeCom took one on, few, should something be wrong with all
SUBJECT = "transfer_call:"
KINDS = {
    (PlanKind.ON_JOB, False): "transfer_customer",
    (PlanKind.RESIGNED, False): "resigned_transfer_customer",
    (PlanKind.ON_JOB, True): "group_onjob_transfer",
    (PlanKind.RESIGNED, True): "group_transfer",
}


def ask_next(plan_id: int) -> bool:
    """Plan the next calls of an active plan; returns whether another look may find more to do."""
    plan = _held(plan_id)
    if plan is None:
        return False
    room = session().scalar(_ROOM, {"plan": plan_id, "most": AT_ONCE, "first": AT_ONCE_FIRST}) or 0
    if room <= 0:
        return False
    receivers = session().execute(_RECEIVERS, {"plan": plan_id, "now": utcnow(), "room": room}).all()
    if not receivers:
        finish_plans([plan_id])
        return False
    able = able_staff(row.to_staff_id for row in receivers)
    for staff_id in sorted({row.to_staff_id for row in receivers} - able):
        _receiver_gone(plan, staff_id)
    for row in receivers:
        if row.to_staff_id in able:
            _call(plan, row.to_staff_id, of_groups=row.of_groups)
    return True


def _held(plan_id: int) -> TransferPlan | None:
    statement = (
        select(TransferPlan)
        .where(TransferPlan.id == plan_id, TransferPlan.state == PlanState.ACTIVE)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    return session().scalars(statement).one_or_none()


_ROOM = text("""
SELECT CASE WHEN EXISTS (SELECT FROM transfer_calls WHERE plan_id = :plan AND settled_at IS NOT NULL AND error IS NULL)
  THEN :most ELSE :first END - (SELECT count(*) FROM transfer_calls WHERE plan_id = :plan AND settled_at IS NULL)
""")
_RECEIVERS = text("""
SELECT to_staff_id, group_id IS NOT NULL AS of_groups FROM transfer_items
WHERE plan_id = :plan AND state = 'planned' AND (not_before IS NULL OR not_before <= :now)
GROUP BY 1, 2 ORDER BY 2, 1 LIMIT :room
""")


def _receiver_gone(plan: TransferPlan, staff_id: int) -> None:
    """Items for somebody who can take nobody (any more) go to another, or back."""
    now = utcnow()
    ids = session().scalars(_ALL_OF, {"plan": plan.id, "to": staff_id}).all()
    failures = [Unsuccessful(id_, Reason.RECEIVER_UNAVAILABLE, None, now) for id_ in ids]
    end_try(plan, [(failure, ItemState.FAILED) for failure in failures])
    finish_plans([plan.id])


_ALL_OF = text("""
SELECT id FROM transfer_items WHERE plan_id = :plan AND to_staff_id = :to AND state = 'planned' ORDER BY id FOR UPDATE
""")


def _call(plan: TransferPlan, to_staff_id: int, *, of_groups: bool) -> None:
    """One call for this receiver: whom it names is looked at once more."""
    room = _groups_left_today(plan, to_staff_id) if of_groups else MOST
    if room <= 0:
        _tomorrow(plan, to_staff_id)
        return
    values = {"plan": plan.id, "to": to_staff_id, "now": utcnow(), "most": min(room, MOST)}
    rows = session().execute(_NEXT_GROUPS if of_groups else _NEXT_CUSTOMERS, values).all()
    _leave_out(plan, rows)
    if good := [row for row in rows if row.wrong is None]:
        _ask(plan, to_staff_id, good, of_groups=of_groups)


_PLANNED = "plan_id = :plan AND to_staff_id = :to AND state = 'planned' AND (not_before IS NULL OR not_before <= :now)"
_NEXT_CUSTOMERS = text(f"""
WITH next AS MATERIALIZED (SELECT id, customer_id, from_staff_id FROM transfer_items
  WHERE {_PLANNED} AND customer_id IS NOT NULL ORDER BY id LIMIT :most FOR UPDATE)
SELECT n.id, c.external_userid AS name, CASE
  WHEN p.kind = 'resigned' AND u.resolved_at IS NOT NULL THEN
    CASE u.resolution WHEN 'transferred' THEN '{Reason.TRANSFERRED_ELSEWHERE}' ELSE '{Reason.NO_RELATION}' END
  WHEN p.kind = 'on_job' AND f.delete_source = 'DELETE_BY_TRANSFER' AND f.status <> 'active' THEN '{Reason.TRANSFERRED_ELSEWHERE}'
  WHEN p.kind = 'on_job' AND f.status = 'half' THEN '{Reason.HALF_RELATION}'
  WHEN p.kind = 'on_job' AND f.status IS DISTINCT FROM 'active' THEN '{Reason.NO_RELATION}' END AS wrong
FROM next n JOIN customers c ON c.id = n.customer_id JOIN transfer_plans p ON p.id = :plan
LEFT JOIN follows f ON f.customer_id = n.customer_id AND f.staff_id = n.from_staff_id
LEFT JOIN unassigned_customers u ON u.customer_id = n.customer_id AND u.staff_id = n.from_staff_id
ORDER BY n.id
""")  # noqa: S608  # constants of this module
_NEXT_GROUPS = text(f"""
WITH next AS MATERIALIZED (SELECT id, group_id, from_staff_id FROM transfer_items
  WHERE {_PLANNED} AND group_id IS NOT NULL ORDER BY id LIMIT :most FOR UPDATE)
SELECT n.id, g.chat_id AS name, CASE WHEN g.status <> 'normal' THEN '{Reason.GROUP_DISMISSED}'
  WHEN g.owner_staff_id IS DISTINCT FROM n.from_staff_id THEN '{Reason.TRANSFERRED_ELSEWHERE}' END AS wrong
FROM next n JOIN customer_groups g ON g.id = n.group_id ORDER BY n.id
""")  # noqa: S608  # constants of this module


def _leave_out(plan: TransferPlan, rows: Sequence[Row[Any]]) -> None:
    now = utcnow()
    failures = [Unsuccessful(row.id, Reason(row.wrong), None, now) for row in rows if row.wrong]
    if failures:
        end_try(plan, [(failure, ItemState.FAILED) for failure in failures])
        finish_plans([plan.id])


def _ask(plan: TransferPlan, to_staff_id: int, rows: Sequence[Row[Any]], *, of_groups: bool) -> None:
    now = utcnow()
    values = {
        "plan": plan.id,
        "from": plan.from_staff_id,
        "to": to_staff_id,
        "of_groups": of_groups,
        "now": now,
    }
    call_id = session().scalar(_NEW_CALL, {**values, "items": len(rows)})
    names = [row.name for row in rows]
    key = f"transfer:{plan.id}:{call_id}"
    body = _body(plan, to_staff_id, names, of_groups=of_groups)
    intent = Intent(kind=KINDS[plan.kind, of_groups], key=key, payload=body, subject=f"{SUBJECT}{call_id}")
    effect_id = plan_effects([intent])[key]
    session().execute(_CALL_EFFECT, {"call": call_id, "effect": effect_id})
    asked = {
        "ids": [row.id for row in rows],
        "call": call_id,
        "now": now,
        "tags": plan.copy_tags and not of_groups,
    }
    session().execute(_ASKED, asked)


def _body(plan: TransferPlan, to_staff_id: int, names: Sequence[str], *, of_groups: bool) -> dict[str, Any]:
    userids = _userids([plan.from_staff_id, to_staff_id])
    if of_groups:
        return {"chat_id_list": list(names), "new_owner": userids[to_staff_id]}
    body: dict[str, Any] = {
        "handover_userid": userids[plan.from_staff_id],
        "takeover_userid": userids[to_staff_id],
        "external_userid": list(names),
    }
    return body | ({"transfer_success_msg": plan.message} if plan.message else {})


def _userids(ids: Sequence[int]) -> Mapping[int, str]:
    rows = session().execute(select(Staff.id, Staff.userid).where(is_one_of(Staff.id, ids)))
    return {row.id: row.userid for row in rows}


_NEW_CALL = text("""
INSERT INTO transfer_calls (plan_id, from_staff_id, to_staff_id, of_groups, items, asked_at)
VALUES (:plan, :from, :to, :of_groups, :items, :now) RETURNING id
""")
_CALL_EFFECT = text("UPDATE transfer_calls SET effect_id = :effect WHERE id = :call")
_ASKED = text("""
UPDATE transfer_items i SET state = 'asked', call_id = :call, asked_at = :now, attempts = i.attempts + 1, reason = NULL,
  errcode = NULL, seen_at = NULL, not_before = NULL, tag_ids = CASE WHEN :tags THEN ARRAY(
    SELECT a.tag_id FROM follows f JOIN tag_assignments a ON a.follow_id = f.id AND a.state IN ('active', 'pending_add')
    WHERE f.customer_id = i.customer_id AND f.staff_id = i.from_staff_id ORDER BY 1) ELSE i.tag_ids END
WHERE i.id = ANY(CAST(:ids AS bigint[]))
""")


def midnight(now: datetime, days: int = 0) -> datetime:
    """When the corp's natural day of ``now``, or one ``days`` later, begins, in UTC."""
    zone = settings().corp.zone
    day = in_zone(now, zone).date() + timedelta(days=days)
    return from_zone(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001  # a wall time on purpose


def _groups_left_today(plan: TransferPlan, to_staff_id: int) -> int:
    values = {"from": plan.from_staff_id, "to": to_staff_id, "since": midnight(utcnow())}
    return GROUPS_A_DAY - (session().scalar(_GROUPS_TODAY, values) or 0)


_GROUPS_TODAY = text("""
SELECT count(*) FROM transfer_items i JOIN transfer_calls c ON c.id = i.call_id
WHERE i.group_id IS NOT NULL AND i.from_staff_id = :from AND i.to_staff_id = :to AND c.asked_at >= :since
AND i.state IN ('asked', 'waiting', 'done')
""")


def _tomorrow(plan: TransferPlan, to_staff_id: int) -> None:
    values = {"plan": plan.id, "to": to_staff_id, "at": midnight(utcnow(), 1), "reason": Reason.DAILY_LIMIT}
    session().execute(_TOMORROW, values)


_TOMORROW = text("""
UPDATE transfer_items SET not_before = :at, reason = :reason
WHERE plan_id = :plan AND to_staff_id = :to AND group_id IS NOT NULL AND state = 'planned'
""")
