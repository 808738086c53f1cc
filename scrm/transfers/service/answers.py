"""What WeCom answered to calls: every customer and group on its own, by errcode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.transfers.events import ItemsSettled, PlanStarted, WatchesWanted
from scrm.transfers.models import ItemState, PlanState, Reason, TransferPlan
from scrm.transfers.service.asking import SUBJECT, midnight
from scrm.transfers.service.reasons import FULL, Meaning, meaning_of, words_of
from scrm.transfers.service.redistributing import Unsuccessful
from scrm.transfers.service.settling import end_try, lock_plans
from scrm.transfers.service.states import finish_plans, move
from scrm.transfers.service.watches import want_watches
from scrm.wecom.errors import explain
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import EffectState
from scrm.wecom.transfer_match import NOT_TOLD

log = structlog.get_logger(__name__)

TAKEOVER_AFTER = timedelta(hours=24)  # unless the customer refuses (wecom-api.md section 4.12)
CLOSED_FOR = timedelta(days=1)  # somebody who was full, or not verified, is not chosen again for so long
MOST_ATTEMPTS = 5  # calls about one item that came to nothing by no fault of anybody
PAUSE = timedelta(minutes=1)  # before such an item is asked about again; doubled with each attempt
RATE_LIMITED = 45009
DAYS = 90  # of the rule behind 40128


@dataclass
class Sorted:
    """The items of one call by what their answer means."""

    started: list[tuple[int, int | None]] = field(
        default_factory=list
    )  # (item, errcode when in transfer already)
    failures: list[tuple[Unsuccessful, ItemState]] = field(default_factory=list)
    again: list[tuple[int, int, datetime]] = field(default_factory=list)  # (item, errcode, not before)
    too_often: list[int] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)  # errcodes that close the receiver
    stop: set[int] = field(default_factory=set)  # errcodes that stop the plan


def record_answers(settled: Sequence[EffectSettled]) -> None:
    """Write the answers of transfer effects into their items. Items that events settled meanwhile stay as they are."""
    wanted = {event.effect_id for event in settled if (event.subject or "").startswith(SUBJECT)}
    if not wanted:
        return
    calls = session().execute(_CALLS, {"effects": sorted(wanted)}).all()
    plans = lock_plans(call.plan_id for call in calls)
    for call in calls:
        _record(call, plans[call.plan_id])
    finish_plans(plans)


_CALLS = text("""
SELECT c.id, c.plan_id, c.from_staff_id, c.to_staff_id, c.of_groups, e.state, e.result, e.errcode, e.error
FROM transfer_calls c JOIN effects e ON e.id = c.effect_id
WHERE e.id = ANY(CAST(:effects AS bigint[])) AND c.settled_at IS NULL ORDER BY c.plan_id, c.id
""")


def _record(call: Row[Any], plan: TransferPlan) -> None:
    items = session().execute(_ITEMS, {"call": call.id}).all()
    if call.state == EffectState.CANCELLED:
        _taken_back(call, plan)
    else:
        _write(call, plan, _sort(items, _codes(call), utcnow(), of_groups=call.of_groups))
    error = None if call.state == EffectState.CONFIRMED else call.error or call.state
    values = {"call": call.id, "now": utcnow(), "errcode": call.errcode, "error": error}
    session().execute(_CLOSE_CALL, values)
    publish(PlanStarted(plan.id), ItemsSettled(plan.id, tuple(item.id for item in items)))


_ITEMS = text("""
SELECT i.id, COALESCE(c.external_userid, g.chat_id) AS name, i.attempts FROM transfer_items i
LEFT JOIN customers c ON c.id = i.customer_id LEFT JOIN customer_groups g ON g.id = i.group_id
WHERE i.call_id = :call AND i.state = 'asked' ORDER BY i.id FOR UPDATE OF i
""")
_CLOSE_CALL = text(
    "UPDATE transfer_calls SET settled_at = :now, errcode = :errcode, error = :error WHERE id = :call"
)


def _codes(call: Row[Any]) -> Callable[[str], int | None]:
    """The errcode of each customer or group by its name: the call's own when it was refused as a whole."""
    if call.state != EffectState.CONFIRMED:
        return lambda name: call.errcode  # noqa: ARG005
    result = call.result or {}
    if call.of_groups:
        failed = {row["chat_id"]: row.get("errcode") for row in result.get("failed_chat_list") or []}
        return lambda name: failed.get(name, 0)
    told = {row["external_userid"]: row.get("errcode") for row in result.get("customer") or []}
    return lambda name: told.get(name, NOT_TOLD)


def _sort(
    items: Sequence[Row[Any]], code_of: Callable[[str], int | None], now: datetime, *, of_groups: bool
) -> Sorted:
    found = Sorted()
    for item in items:
        code = code_of(item.name)
        meaning = meaning_of(code)
        if meaning is Meaning.AGAIN and (code is None or item.attempts >= MOST_ATTEMPTS):
            meaning = Meaning.PLAN if code is None else Meaning.REFUSED
        if meaning in {Meaning.STARTED, Meaning.IN_TRANSFER}:
            found.started.append((item.id, code or None))
        elif meaning is Meaning.TOO_OFTEN:
            found.too_often.append(item.id)
        elif meaning is Meaning.AGAIN:
            pause = midnight(now, 1) if of_groups and code == RATE_LIMITED else now + PAUSE * 2**item.attempts
            found.again.append((item.id, code or NOT_TOLD, pause))
        elif meaning is Meaning.PLAN:
            found.again.append((item.id, code or NOT_TOLD, now))
            found.stop.add(code or NOT_TOLD)
        else:
            _sort_failure(found, item.id, code or NOT_TOLD, meaning, now)
    return found


def _sort_failure(found: Sorted, item_id: int, code: int, meaning: Meaning, now: datetime) -> None:
    reason, state = Reason.WECOM_REFUSED, ItemState.FAILED
    if meaning is Meaning.RECEIVER:
        found.closed.add(code)
        full = code == FULL
        reason = Reason.RECEIVER_FULL if full else Reason.RECEIVER_UNAVAILABLE
        state = ItemState.LIMIT if full else ItemState.FAILED
    elif meaning is Meaning.GONE:
        reason = Reason.NO_RELATION
    found.failures.append((Unsuccessful(item_id, reason, code, now), state))


def _write(call: Row[Any], plan: TransferPlan, found: Sorted) -> None:
    now = utcnow()
    if found.started:
        rows = [{"id": id_, "errcode": code} for id_, code in found.started]
        takeover = None if call.of_groups else now + TAKEOVER_AFTER
        session().execute(_STARTED, {"rows": orjson.dumps(rows).decode(), "now": now, "takeover": takeover})
        want_watches(plan.kind, call.from_staff_id, call.to_staff_id, of_groups=call.of_groups)
        if call.of_groups:
            publish(WatchesWanted())
    if found.closed:
        values = {"to": call.to_staff_id, "errcode": max(found.closed), "until": now + CLOSED_FOR}
        session().execute(_CLOSE_RECEIVER, values)
    if found.too_often:
        _too_often(plan, found.too_often, now)
    if found.failures:
        end_try(plan, found.failures)
    if found.again:
        rows_again = [{"id": id_, "errcode": code, "at": at} for id_, code, at in found.again]
        session().execute(_AGAIN, {"rows": orjson.dumps(rows_again).decode()})
    if found.stop:
        _stop(plan, call, found.stop)


_STARTED = text("""
UPDATE transfer_items i SET state = 'waiting', accepted_at = :now, takeover_at = :takeover, errcode = r.errcode
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, errcode bigint) WHERE i.id = r.id
""")
_CLOSE_RECEIVER = text("""
INSERT INTO transfer_closed_receivers (staff_id, errcode, until) VALUES (:to, :errcode, :until)
ON CONFLICT (staff_id) DO UPDATE SET errcode = excluded.errcode, until = excluded.until
""")
_AGAIN = text("""
UPDATE transfer_items i SET state = 'planned', errcode = r.errcode, not_before = r.at, call_id = NULL
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, errcode bigint, at timestamptz) WHERE i.id = r.id
""")


def _too_often(plan: TransferPlan, ids: Sequence[int], now: datetime) -> None:
    """40128: final, with the day from which WeCom allows it again as far as our own records tell."""
    failures = [(Unsuccessful(id_, Reason.TOO_OFTEN, 40128, now), ItemState.FAILED) for id_ in ids]
    end_try(plan, failures)
    values = {
        "ids": sorted(ids),
        "latest": midnight(now, DAYS),
        "since": midnight(now, 1 - DAYS),
        "days": timedelta(days=DAYS),
    }
    session().execute(_POSSIBLE, values)


# The second newest transfer we know of has to fall out of the 90 days; when others made them, in 90 days at the latest.
_POSSIBLE = text("""
UPDATE transfer_items i SET possible_at = LEAST(:latest, COALESCE((
  SELECT o.accepted_at + CAST(:days AS interval) FROM transfer_items o JOIN transfer_plans p ON p.id = o.plan_id
  WHERE p.kind = 'on_job' AND o.state = 'done' AND o.accepted_at >= :since
  AND (o.customer_id = i.customer_id OR o.group_id = i.group_id)
  ORDER BY o.accepted_at DESC OFFSET 1 LIMIT 1), :latest))
WHERE i.id = ANY(CAST(:ids AS bigint[]))
""")


def _stop(plan: TransferPlan, call: Row[Any], codes: set[int]) -> None:
    """Nothing of this plan can work until somebody mends what WeCom says: pause it and say what."""
    told = [_words(code) for code in sorted(codes) if code != NOT_TOLD]
    words = " · ".join(told) or call.error or "no answer"
    reason = f"{words}; mend it and resume the plan / 处理后请继续计划"
    if move([plan.id], PlanState.PAUSED, only=[PlanState.ACTIVE], error=reason):
        log.warning("transfer plan paused by itself", plan=plan.id, errcodes=sorted(codes))


def _words(code: int) -> str:
    """The code in both languages, with the console page where it is mended."""
    words, row = words_of(Reason.WECOM_REFUSED, code), explain(code)
    page = f" [{row.page}]" if row and row.page else ""
    return f"{words['zh']} / {words['en']}{page}" if words else str(code)


def _taken_back(call: Row[Any], plan: TransferPlan) -> None:
    """The call was cancelled before it was made: by a pause (asked again later), by a cancel, or by hand."""
    values = {"call": call.id, "now": utcnow(), "cancelled": plan.state is PlanState.CANCELLED}
    session().execute(_TAKEN_BACK, values)


_TAKEN_BACK = text(f"""
UPDATE transfer_items SET state = CASE WHEN :cancelled THEN 'cancelled' ELSE 'planned' END,
  reason = CASE WHEN :cancelled THEN '{Reason.PLAN_CANCELLED}' END, attempts = attempts - 1, asked_at = NULL,
  settled_at = CASE WHEN :cancelled THEN CAST(:now AS timestamptz) END, call_id = NULL
WHERE call_id = :call AND state = 'asked'
""")  # noqa: S608  # constants of this module
