"""Changes of a plan's state: compare-and-set along a forward-only table, so that two callers cannot both win."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, exists, true, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.events import publish
from scrm.transfers.events import PlanFinished
from scrm.transfers.models import OPEN_ITEMS, PlanState, TransferItem, TransferPlan

S = PlanState
FORWARD: dict[PlanState, frozenset[PlanState]] = {
    S.DRAFT: frozenset({S.ACTIVE, S.CANCELLED}),
    S.ACTIVE: frozenset({S.PAUSED, S.DONE, S.CANCELLED}),
    S.PAUSED: frozenset({S.ACTIVE, S.DONE, S.CANCELLED}),
    S.DONE: frozenset({S.ACTIVE}),  # a person plans items again that did not work
    S.CANCELLED: frozenset(),
}


def may_become(target: PlanState) -> list[PlanState]:
    """States from which ``target`` can be reached in one step."""
    return [state for state, following in FORWARD.items() if target in following]


def move(
    ids: Iterable[int],
    target: PlanState,
    *,
    only: Iterable[PlanState] | None = None,
    where: ColumnElement[bool] | None = None,
    **values: Any,
) -> list[int]:
    """Move plans to ``target`` and set ``values``; returns the ids that moved (the others stood elsewhere)."""
    allowed = [state for state in may_become(target) if only is None or state in set(only)]
    changed = (
        update(TransferPlan)
        .where(
            TransferPlan.id.in_(sorted(set(ids))),
            TransferPlan.state.in_(allowed),
            true() if where is None else where,
        )
        .values(state=target, updated_at=utcnow(), **values)
        .returning(TransferPlan.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(session().execute(changed).scalars())


def refuse(plan: TransferPlan, verb: str, target: PlanState) -> Conflict:
    """The error that says in which state a plan would have to be."""
    wanted = ", ".join(sorted(may_become(target)))
    return Conflict(f"transfer plan {plan.id} is {plan.state}; to {verb} it must be one of: {wanted}")


def finish_plans(ids: Iterable[int]) -> None:
    """Finish those under way that have no open item left."""
    open_item = exists().where(TransferItem.plan_id == TransferPlan.id, TransferItem.state.in_(OPEN_ITEMS))
    under_way = (PlanState.ACTIVE, PlanState.PAUSED)
    done = move(ids, PlanState.DONE, only=under_way, where=~open_item, finished_at=utcnow(), error=None)
    publish(*map(PlanFinished, done))
