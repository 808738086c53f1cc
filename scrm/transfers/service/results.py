"""Reading results: pages of transfer_result into news, and the owners of groups that were read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, text, update

from scrm.customers.service.wanting import customer_ids
from scrm.groups.service.details import want_groups
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.leases import RELEASED, held
from scrm.kernel.settings import settings
from scrm.transfers.events import ItemsSettled, PlanStarted
from scrm.transfers.models import ItemState, PlanState, Reason, TransferPlan, TransferWatch
from scrm.transfers.service.completing import complete
from scrm.transfers.service.reasons import Meaning, meaning_of
from scrm.transfers.service.redistributing import Unsuccessful
from scrm.transfers.service.settling import News, Outcome, end_try, lock_plans, settle
from scrm.transfers.service.states import finish_plans
from scrm.transfers.service.watches import Watched, next_look
from scrm.wecom.errors import WecomError

STATUS = {1: Outcome.DONE, 2: Outcome.WAITING, 3: Outcome.REFUSED, 4: Outcome.LIMIT}  # 5: no record
SHOWN_AFTER = timedelta(minutes=10)  # what WeCom took on so long ago is in its results
GROUP_PATIENCE = timedelta(hours=26)  # until a group that WeCom took on must have its new owner
GIVE_UP = timedelta(
    days=7
)  # after the takeover's time, while WeCom cannot be asked about a pair (one of them left)
MOST_ATTEMPTS = 3  # calls about one item of which WeCom shows nothing
BAD_CURSOR = 50100


@dataclass(frozen=True)
class Page:
    """One answer of transfer_result; ``cursor`` None: the pass is complete."""

    rows: Sequence[dict[str, Any]]
    cursor: str | None


def record_pages(pages: Sequence[tuple[Watched, Page | WecomError]], token: UUID) -> None:
    """Write one step's answers and give the watches back; what is no longer held keeps its place, the news stays true."""
    good = [(watch, page) for watch, page in pages if isinstance(page, Page)]
    names = {row["external_userid"] for _, page in good for row in page.rows}
    known = customer_ids(names)
    _mark_seen(good, known)
    settle([news for watch, page in good for news in _news(watch, page, known)])
    for watch, page in good:
        if page.cursor is None:
            _nothing_shown(watch)
    for watch, answer in pages:
        if isinstance(answer, WecomError) and not answer.passing:
            _given_up(watch)
    for watch, answer in pages:
        _write_step(watch, answer, token)


def _news(watch: Watched, page: Page, known: dict[str, int]) -> list[News]:
    return [
        News(
            customer_id=known[row["external_userid"]],
            outcome=STATUS[row["status"]],
            at=watch.pass_at,
            to_staff_id=watch.to_staff_id,
            from_staff_id=watch.from_staff_id,
            takeover_at=from_epoch(row["takeover_time"]) if row.get("takeover_time") else None,
            asked=True,
        )
        for row in page.rows
        if row.get("status") in STATUS and row["external_userid"] in known
    ]


def _mark_seen(pages: Sequence[tuple[Watched, Page]], known: dict[str, int]) -> None:
    rows = [
        {
            "customer_id": known[row["external_userid"]],
            "from": w.from_staff_id,
            "to": w.to_staff_id,
            "at": w.pass_at,
        }
        for w, page in pages
        for row in page.rows
        if row.get("status") in STATUS and row["external_userid"] in known
    ]
    if rows:
        session().execute(_SEEN, {"rows": orjson.dumps(rows).decode()})


_SEEN = text("""
UPDATE transfer_items i SET seen_at = r.at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint, "from" bigint, "to" bigint, at timestamptz)
WHERE i.customer_id = r.customer_id AND i.from_staff_id = r.from AND i.to_staff_id = r.to AND i.state = 'waiting'
""")


def _nothing_shown(watch: Watched) -> None:
    """After a complete pass: items that WeCom took on and shows no record of are asked for again, or given up."""
    values = {
        "kind": watch.kind, "from": watch.from_staff_id, "to": watch.to_staff_id, "pass": watch.pass_at,
        "shown": watch.pass_at - SHOWN_AFTER,
    }  # fmt: skip
    without_record(session().execute(_UNSEEN, values).all(), watch.pass_at)


def _given_up(watch: Watched) -> None:
    """WeCom refuses to tell of this pair: what should be over for a week is for a person."""
    values = {
        "kind": watch.kind,
        "from": watch.from_staff_id,
        "to": watch.to_staff_id,
        "before": utcnow() - GIVE_UP,
    }
    rows = session().execute(_OVERDUE, values).all()
    plans = lock_plans(row.plan_id for row in rows)
    failures: dict[int, list[tuple[Unsuccessful, ItemState]]] = defaultdict(list)
    for row in rows:
        failure = Unsuccessful(row.id, Reason.NO_RECORD, row.errcode, watch.pass_at)
        failures[row.plan_id].append((failure, ItemState.FAILED))
    _end_tries(plans, failures)


_OVERDUE = text("""
SELECT i.id, i.plan_id, i.errcode FROM transfer_items i JOIN transfer_plans p ON p.id = i.plan_id
WHERE p.kind = :kind AND i.from_staff_id = :from AND i.to_staff_id = :to AND i.state = 'waiting'
AND i.customer_id IS NOT NULL AND i.takeover_at < :before ORDER BY i.id
""")
_UNSEEN = text("""
SELECT i.id, i.plan_id, i.errcode, i.attempts FROM transfer_items i JOIN transfer_plans p ON p.id = i.plan_id
WHERE p.kind = :kind AND i.from_staff_id = :from AND i.to_staff_id = :to AND i.state = 'waiting'
AND i.customer_id IS NOT NULL AND i.accepted_at < :shown AND (i.seen_at IS NULL OR i.seen_at < :pass) ORDER BY i.id
""")


def without_record(rows: Sequence[Row[Any]], at: datetime) -> None:
    """Items of which WeCom shows nothing.

    One that was in transfer already when we asked is on its way to somebody else. Others are asked for again: WeCom
    refuses who is in transfer, so nobody is asked twice.
    """
    plans = lock_plans(row.plan_id for row in rows)
    again: list[int] = []
    failures: dict[int, list[tuple[Unsuccessful, ItemState]]] = defaultdict(list)
    for row in rows:
        elsewhere = row.errcode is not None and meaning_of(row.errcode) is Meaning.IN_TRANSFER
        open_plan = plans[row.plan_id].state in {PlanState.ACTIVE, PlanState.PAUSED}
        if open_plan and not elsewhere and row.attempts < MOST_ATTEMPTS:
            again.append(row.id)
        else:
            reason = Reason.IN_TRANSFER if elsewhere else Reason.NO_RECORD
            failures[row.plan_id].append((Unsuccessful(row.id, reason, row.errcode, at), ItemState.FAILED))
    if again:
        session().execute(_ASK_AGAIN, {"ids": again, "at": at, "reason": Reason.NO_RECORD})
        publish(*(PlanStarted(plan_id) for plan_id in sorted({row.plan_id for row in rows})))
    _end_tries(plans, failures)


_ASK_AGAIN = text("""
UPDATE transfer_items SET state = 'planned', reason = :reason, call_id = NULL, asked_at = NULL, accepted_at = NULL,
  takeover_at = NULL, seen_at = NULL, heard_at = :at WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'waiting'
""")


def _end_tries(
    plans: dict[int, TransferPlan], failures: dict[int, list[tuple[Unsuccessful, ItemState]]]
) -> None:
    for plan_id, told in sorted(failures.items()):
        end_try(plans[plan_id], told)
        publish(ItemsSettled(plan_id, tuple(failure.item_id for failure, _ in told)))
    finish_plans(failures)


def _write_step(watch: Watched, page: Page | WecomError, token: UUID) -> None:
    """Where the watch stands after an answer: inside the pass, waiting for the next, or with nothing left to ask."""
    now = utcnow()
    values: dict[str, Any] = {"error": None}
    if isinstance(page, WecomError):
        wait = page.retry_after or settings().transfers.poll_seconds
        values = {"error": str(page), "next_at": now + timedelta(seconds=wait)}
        if page.errcode == BAD_CURSOR:
            values |= {"cursor": None, "pass_at": None}
    elif page.cursor is not None:
        values |= {"cursor": page.cursor, "pass_at": watch.pass_at, "next_at": now}
    else:
        row = _standing(watch, of_groups=False)
        values |= {
            "cursor": None,
            "pass_at": None,
            "polled_at": watch.pass_at,
            "passes": TransferWatch.passes + 1,
        }
        values["next_at"] = next_look(row, now)
    _release(watch, token, values)


def _release(watch: Watched, token: UUID, values: dict[str, Any]) -> None:
    changed = update(TransferWatch).where(TransferWatch.id == watch.id, held(TransferWatch, token))
    session().execute(changed.values(**values, **RELEASED), execution_options={"synchronize_session": False})


def _standing(watch: Watched, *, of_groups: bool) -> Row[Any]:
    values = {
        "id": watch.id, "kind": watch.kind, "from": watch.from_staff_id, "to": watch.to_staff_id, "now": utcnow(),
        "groups": of_groups,
    }  # fmt: skip
    return session().execute(_STANDING, values).one()


_STANDING = text("""
SELECT count(i.id) AS waiting, min(i.takeover_at) FILTER (WHERE i.takeover_at > :now) AS soonest,
  count(i.id) FILTER (WHERE i.takeover_at <= :now OR i.group_id IS NOT NULL) AS overdue, max(w.passes) AS passes
FROM transfer_watches w LEFT JOIN (transfer_items i JOIN transfer_plans p ON p.id = i.plan_id AND p.kind = :kind)
  ON i.from_staff_id = :from AND i.to_staff_id = :to AND i.state IN ('asked', 'waiting') AND (i.group_id IS NOT NULL) = :groups
WHERE w.id = :id
""")


def look_at_groups(watch: Watched, token: UUID) -> None:
    """Settle groups by the owner that reading them showed, and have the others read again."""
    pair = {"kind": watch.kind, "from": watch.from_staff_id, "to": watch.to_staff_id}
    # Before plans are held: those who read groups hold the groups first.
    want_groups(session().scalars(_STILL_OLD, pair))
    settle_groups(session().scalars(_GROUPS_OF_PAIR, pair).all())
    overdue = {**pair, "patience": GROUP_PATIENCE}
    without_record(session().execute(_NEVER_CAME, overdue).all(), watch.pass_at)
    values = {"passes": TransferWatch.passes + 1, "polled_at": watch.pass_at, "error": None}
    _release(watch, token, {**values, "next_at": next_look(_standing(watch, of_groups=True), utcnow())})


_PAIR = """FROM transfer_items i JOIN transfer_plans p ON p.id = i.plan_id JOIN customer_groups g ON g.id = i.group_id
WHERE p.kind = :kind AND i.from_staff_id = :from AND i.to_staff_id = :to AND i.state = 'waiting'"""
_GROUPS_OF_PAIR = text(f"SELECT i.group_id {_PAIR}")  # constants of this module
_OTHER_OWNER = "g.status = 'normal' AND g.owner_staff_id IS DISTINCT FROM i.to_staff_id"
_STILL_OLD = text(f"SELECT g.chat_id {_PAIR} AND {_OTHER_OWNER}")  # constants of this module
_NEVER_CAME = text(f"""
SELECT i.id, i.plan_id, i.errcode, i.attempts {_PAIR} AND g.refreshed_at >= i.accepted_at + CAST(:patience AS interval)
ORDER BY i.id
""")


def settle_groups(group_ids: Sequence[int]) -> None:
    """Groups on their way whose owner is the receiver now are done; dismissed ones cannot be handed over."""
    rows = session().execute(_GROUP_FATES, {"ids": sorted(set(group_ids))}).all()
    if not rows:
        return
    plans = lock_plans(row.plan_id for row in rows)
    now = utcnow()
    done = [row for row in rows if row.done]
    complete([(row.id, now) for row in done])
    publish(*(ItemsSettled(row.plan_id, (row.id,)) for row in done))
    failures: dict[int, list[tuple[Unsuccessful, ItemState]]] = defaultdict(list)
    for row in rows:
        if not row.done:
            gone = Unsuccessful(row.id, Reason.GROUP_DISMISSED, None, now)
            failures[row.plan_id].append((gone, ItemState.FAILED))
    _end_tries(plans, failures)
    finish_plans(plans)


_GROUP_FATES = text("""
SELECT i.id, i.plan_id, g.owner_staff_id = i.to_staff_id AND g.status = 'normal' AS done FROM transfer_items i
JOIN customer_groups g ON g.id = i.group_id
WHERE i.group_id = ANY(CAST(:ids AS bigint[])) AND i.state IN ('asked', 'waiting')
AND (g.owner_staff_id = i.to_staff_id OR g.status <> 'normal') ORDER BY i.id
""")
