"""Giving items that nobody was asked about another receiver: a new rule, another choice by hand, or the next to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import text, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from scrm.transfers.events import PlanStarted
from scrm.transfers.models import ItemState, PlanState, Reason, TransferItem, TransferPlan
from scrm.transfers.queries.candidates import planned_items
from scrm.transfers.queries.distribution import distributed
from scrm.transfers.queries.receivers import OF_GROUPS, able_staff, slots
from scrm.transfers.queries.visibility import check_members, plan_for
from scrm.transfers.service.states import finish_plans, move

TRY = ("call_id", "asked_at", "accepted_at", "takeover_at", "seen_at", "settled_at", "not_before")
"""Columns of one try; they begin anew with the next."""
AGAIN = {ItemState.REFUSED, ItemState.LIMIT, ItemState.FAILED, ItemState.BACK, ItemState.CANCELLED}
"""States in which a person may have an item tried again."""


def redistribute(plan: TransferPlan) -> None:
    """Give the planned items of a plan under way to the receivers of its present rule.

    Items for which the rule has nobody fail with the reason.
    """
    rows = distributed(plan, planned_items(plan), slots(plan)).subquery("rows")
    values = {"to_staff_id": rows.c.to_staff_id, "share": rows.c.share, "reason": rows.c.reason, "tried": []}
    changed = update(TransferItem).where(TransferItem.id == rows.c.item_id).values(**values)
    session().execute(changed, execution_options={"synchronize_session": False})
    nobody = (
        TransferItem.plan_id == plan.id,
        TransferItem.state == ItemState.PLANNED,
        TransferItem.to_staff_id.is_(None),
    )
    failed = update(TransferItem).where(*nobody).values(state=ItemState.FAILED, settled_at=utcnow())
    session().execute(failed, execution_options={"synchronize_session": False})


@dataclass(frozen=True, slots=True)
class Unsuccessful:
    """A try that did not work: which item, why, and when we heard of it."""

    item_id: int
    reason: Reason
    errcode: int | None
    at: datetime


def offer_to_next(plan: TransferPlan, failures: Sequence[Unsuccessful]) -> set[int]:
    """Plan items again for a receiver of their share who was not tried; returns the ids for which there is one.

    Which one is drawn by weight, the same each time; after ``max_tries`` receivers nobody else is asked.
    """
    if plan.rule is None or not failures:
        return set()
    told = [
        {"id": one.item_id, "reason": one.reason, "errcode": one.errcode, "at": one.at}
        for one in sorted(failures, key=lambda failure: failure.item_id)
    ]
    able = [{"share": s.share, "staff_id": s.staff_id, "weight": s.high - s.low} for s in slots(plan)]
    values = {
        "told": orjson.dumps(told).decode(),
        "slots": orjson.dumps(able).decode(),
        "most": settings().transfers.max_tries,
    }
    return set(session().scalars(_OFFER, values))


_OFFER = text(f"""
WITH told AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS t(id bigint, reason text, errcode bigint, at timestamptz)),
pick AS (
  SELECT DISTINCT ON (i.id) i.id, s.staff_id FROM transfer_items i JOIN told ON told.id = i.id
  JOIN jsonb_to_recordset(CAST(:slots AS jsonb)) AS s(share bigint, staff_id bigint, weight bigint)
    ON s.share = COALESCE(i.share, {OF_GROUPS})
  WHERE s.staff_id <> ALL (i.tried || i.to_staff_id) AND cardinality(i.tried) + 1 < :most
  ORDER BY i.id, -ln((CAST(CAST('x' || substr(md5(i.id || ':' || s.staff_id), 1, 8) AS bit(32)) AS bigint) + 1)
    / 4294967297.0) / s.weight)
UPDATE transfer_items i SET tried = i.tried || i.to_staff_id, to_staff_id = pick.staff_id, state = 'planned',
  reason = told.reason, errcode = told.errcode, heard_at = told.at, attempts = 0, {", ".join(f"{name} = NULL" for name in TRY)}
FROM told JOIN pick ON pick.id = told.id WHERE i.id = told.id RETURNING i.id
""")  # noqa: S608  # constants of this module


def assign_by_hand(plan_id: int, item_ids: Sequence[int], to_staff_id: int, scope: Scope) -> int:
    """Give items to one member: those nobody was asked about, and those that did not work, which are asked anew.

    :returns: how many were changed; others are on their way, done, or open in another plan
    :raises Conflict: the plan is a draft or cancelled
    :raises InvalidInput: the member cannot receive
    """
    plan = plan_for(plan_id, scope, lock=True)
    if plan.state not in {PlanState.ACTIVE, PlanState.PAUSED, PlanState.DONE}:
        raise Conflict(
            f"transfer plan {plan_id} is {plan.state}; items can be given to others once it was activated"
        )
    check_members([to_staff_id], scope, "to_staff_id")
    if to_staff_id == plan.from_staff_id or not able_staff([to_staff_id]):
        raise InvalidInput.field(
            "to_staff_id", "cannot receive: left, disabled, full, without the feature, or the same"
        )
    values = {"plan": plan_id, "ids": sorted(item_ids), "to": to_staff_id, "again": sorted(AGAIN)}
    changed = len(session().execute(_ASSIGN, values).all())
    if changed and plan.state is PlanState.DONE:
        move([plan_id], PlanState.ACTIVE, finished_at=None)
    if changed:
        publish(PlanStarted(plan_id))
    return changed


_ASSIGN = text(f"""
UPDATE transfer_items i SET to_staff_id = :to, state = 'planned', share = i.share, reason = NULL, errcode = NULL,
  attempts = 0, possible_at = NULL, {", ".join(f"{name} = NULL" for name in TRY)}
WHERE i.plan_id = :plan AND i.id = ANY(CAST(:ids AS bigint[]))
AND (i.state = 'planned' OR i.state = ANY(CAST(:again AS text[]))) AND NOT EXISTS (
  SELECT FROM transfer_items o WHERE o.id <> i.id AND o.state IN ('planned', 'asked', 'waiting')
  AND (o.group_id = i.group_id OR (o.customer_id = i.customer_id AND o.from_staff_id = i.from_staff_id)))
RETURNING i.id
""")  # noqa: S608  # constants of this module


def take_out(plan_id: int, item_ids: Sequence[int], scope: Scope) -> int:
    """Leave items out that nobody was asked about yet; returns how many."""
    plan_for(plan_id, scope, lock=True)
    values = {"plan": plan_id, "ids": sorted(item_ids), "now": utcnow()}
    taken = session().execute(_TAKE_OUT, values).all()
    finish_plans([plan_id])
    return len(taken)


_TAKE_OUT = text(f"""
UPDATE transfer_items SET state = 'cancelled', reason = '{Reason.TAKEN_OUT}', settled_at = :now
WHERE plan_id = :plan AND id = ANY(CAST(:ids AS bigint[])) AND state = 'planned' RETURNING id
""")  # noqa: S608  # constants of this module
