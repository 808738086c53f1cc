"""What became of items: news of WeCom's answers, results and events, in any order, doubled or late.

News is about one try: one receiver, from the moment we asked. An item moves forward only (asked → waiting → an end),
and that it was done outdoes every other end, so that the same news in another order comes to the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.transfers.events import ItemsSettled
from scrm.transfers.models import ItemState, PlanKind, PlanState, Reason, Resolution, TransferPlan
from scrm.transfers.service.completing import complete
from scrm.transfers.service.redistributing import Unsuccessful, offer_to_next
from scrm.transfers.service.states import finish_plans
from scrm.transfers.service.unassigned import resolve

log = structlog.get_logger(__name__)

CLOCKS_DIFFER = timedelta(minutes=5)  # between WeCom and this machine


class Outcome(IntEnum):
    """What news says; of several the greatest counts."""

    WAITING = 0
    FAILED = 1
    LIMIT = 2
    REFUSED = 3
    DONE = 4


ENDS = {Outcome.FAILED: ItemState.FAILED, Outcome.LIMIT: ItemState.LIMIT, Outcome.REFUSED: ItemState.REFUSED}
REASONS = {
    Outcome.FAILED: Reason.UNKNOWN,
    Outcome.LIMIT: Reason.RECEIVER_FULL,
    Outcome.REFUSED: Reason.REFUSED,
}


NOBODY_ELSE = frozenset(
    {
        Reason.NO_RELATION,
        Reason.GROUP_DISMISSED,
        Reason.TRANSFERRED_ELSEWHERE,
        Reason.TOO_OFTEN,
        Reason.IN_TRANSFER,
    }
)
"""Reasons that another receiver would not change."""


@dataclass(frozen=True, slots=True)
class News:
    """Something WeCom told about a customer on the way between two members.

    :param at: when it happened, as the event tells; for results: when the question left
    :param to_staff_id: None when it was not said (the old relation's end by transfer)
    :param from_staff_id: None when it was not said (events name the receiver only)
    :param takeover_at: WeCom's takeover_time: to come while waiting, otherwise when it ended
    :param asked: an answer to a question of ours; clocks play no part, but it may tell of an earlier try
    :param of_add: the receiver's new relation told it, which says all of a resigned member's customer only
    """

    customer_id: int
    outcome: Outcome
    at: datetime
    to_staff_id: int | None = None
    from_staff_id: int | None = None
    takeover_at: datetime | None = None
    asked: bool = False
    of_add: bool = False

    @property
    def happened_at(self) -> datetime:
        """When it ended, as far as that is known."""
        return min(self.takeover_at or self.at, self.at)


def lock_plans(ids: Iterable[int]) -> dict[int, TransferPlan]:
    """Hold plans until the commit. Who moves items does this first, so that nobody waits for the other in a ring."""
    statement = select(TransferPlan).where(TransferPlan.id.in_(sorted(set(ids)))).order_by(TransferPlan.id)
    held = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {plan.id: plan for plan in session().scalars(held)}


def settle(news: Sequence[News]) -> None:
    """Apply news to the items it is about, all of it by a few statements; what is old or known changes nothing."""
    if not news:
        return
    rows = [
        {
            "n": number, "customer_id": one.customer_id, "from_staff_id": one.from_staff_id,
            "to_staff_id": one.to_staff_id, "at": one.at, "asked": one.asked, "done": one.outcome is Outcome.DONE,
            "ended_at": None if one.outcome is Outcome.WAITING else one.takeover_at, "of_add": one.of_add,
        }
        for number, one in enumerate(news)
    ]  # fmt: skip
    values = {"rows": orjson.dumps(rows).decode(), "clocks": CLOCKS_DIFFER}
    plans = lock_plans(session().scalars(_PLANS, values))
    if not plans:
        return
    told: dict[int, tuple[Row[Any], News]] = {}
    for row in session().execute(_MATCH, values):
        one = news[row.n]
        if row.id not in told or one.outcome > told[row.id][1].outcome:
            told[row.id] = (row, one)
    _apply(list(told.values()), plans)


# The item of the pair whose try the news can be about. WeCom's times may be off by minutes in the first try; later
# tries begin after news of the one before, with which they must not be confused.
_MATCHING = """
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(n bigint, customer_id bigint, from_staff_id bigint,
  to_staff_id bigint, at timestamptz, asked boolean, done boolean, ended_at timestamptz, of_add boolean)
JOIN transfer_items i ON i.customer_id = r.customer_id AND i.asked_at IS NOT NULL
  AND i.to_staff_id = COALESCE(r.to_staff_id, i.to_staff_id) AND i.from_staff_id = COALESCE(r.from_staff_id, i.from_staff_id)
WHERE (i.state IN ('asked', 'waiting') OR (r.done AND i.state IN ('refused', 'limit', 'failed', 'back')))
AND (NOT r.of_add OR EXISTS (SELECT FROM transfer_plans p WHERE p.id = i.plan_id AND p.kind = 'resigned'))
AND CASE WHEN r.asked THEN i.asked_at < r.at AND COALESCE(r.ended_at >= i.asked_at - CAST(:clocks AS interval), true) WHEN i.heard_at IS NULL THEN r.at >= i.asked_at - CAST(:clocks AS interval)
  ELSE r.at >= date_trunc('second', i.asked_at) AND r.at > i.heard_at END
"""
_PLANS = text(f"SELECT DISTINCT i.plan_id {_MATCHING}")  # constants of this module
_MATCH = text(f"SELECT r.n, i.id, i.plan_id, i.state {_MATCHING} ORDER BY i.id FOR UPDATE OF i")


def _apply(told: Sequence[tuple[Row[Any], News]], plans: dict[int, TransferPlan]) -> None:
    waiting = [(row.id, one.takeover_at) for row, one in told if one.outcome is Outcome.WAITING]
    _still_waiting(waiting)
    if done := [(row.id, one.at) for row, one in told if one.outcome is Outcome.DONE]:
        complete(done)
    unsuccessful: dict[int, list[tuple[Unsuccessful, ItemState]]] = defaultdict(list)
    for row, one in told:
        if one.outcome in ENDS and row.state in {ItemState.ASKED, ItemState.WAITING}:
            failure = Unsuccessful(row.id, REASONS[one.outcome], None, one.at)
            unsuccessful[row.plan_id].append((failure, ENDS[one.outcome]))
    for plan_id in sorted(unsuccessful):
        end_try(plans[plan_id], unsuccessful[plan_id])
    settled: dict[int, list[int]] = defaultdict(list)
    for row, one in told:
        if one.outcome is not Outcome.WAITING:
            settled[row.plan_id].append(row.id)
    publish(*(ItemsSettled(plan_id, tuple(ids)) for plan_id, ids in sorted(settled.items())))
    finish_plans(settled)


def _still_waiting(rows: Sequence[tuple[int, datetime | None]]) -> None:
    values = [{"id": id_, "takeover_at": at} for id_, at in rows]
    if values:
        session().execute(_WAITING, {"rows": orjson.dumps(values).decode(), "now": utcnow()})


_WAITING = text("""
UPDATE transfer_items i SET state = 'waiting', accepted_at = COALESCE(i.accepted_at, :now),
  takeover_at = COALESCE(r.takeover_at, i.takeover_at)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, takeover_at timestamptz)
WHERE i.id = r.id AND i.state IN ('asked', 'waiting')
""")


def end_try(plan: TransferPlan, failures: Sequence[tuple[Unsuccessful, ItemState]]) -> None:
    """A try did not work: the item goes to the next receiver, back to a person, or stays where it is.

    A customer who refused one colleague of an active member is not asked again. A resigned member's is offered to
    others of the share, and so is everybody whom a receiver had no room for.

    :param failures: with the state of an active member's item when nobody else is asked
    """
    resigned = plan.kind is PlanKind.RESIGNED
    under_way = plan.state in {PlanState.ACTIVE, PlanState.PAUSED}
    others = [failure for failure, _ in failures if under_way and _may_go_on(resigned, failure)]
    again = offer_to_next(plan, others)
    ended = [
        {
            "id": failure.item_id, "state": ItemState.BACK if resigned else state, "reason": failure.reason,
            "errcode": failure.errcode, "at": failure.at,
        }
        for failure, state in failures
        if failure.item_id not in again
    ]  # fmt: skip
    if ended:
        session().execute(_END, {"rows": orjson.dumps(ended).decode(), "now": utcnow()})
    if resigned:
        _nothing_to_hand_over(
            [failure.item_id for failure, _ in failures if failure.reason is Reason.NO_RELATION]
        )
    log.info("transfers did not work", plan=plan.id, items=len(failures), again=len(again))


def _may_go_on(resigned: bool, failure: Unsuccessful) -> bool:
    if failure.reason in NOBODY_ELSE:
        return False
    return resigned or failure.reason in {Reason.RECEIVER_FULL, Reason.RECEIVER_UNAVAILABLE}


_END = text("""
UPDATE transfer_items i SET state = r.state, reason = r.reason, errcode = COALESCE(r.errcode, i.errcode),
  heard_at = r.at, settled_at = :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, state text, reason text, errcode bigint, at timestamptz)
WHERE i.id = r.id
""")


def _nothing_to_hand_over(item_ids: Sequence[int]) -> None:
    if item_ids:
        resolve(item_ids, Resolution.NO_RELATION)
