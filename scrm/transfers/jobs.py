"""What workers do for transfers: ask, watch, draw consequences, and look after those who left. Each may run twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import Job, job
from scrm.kernel.locks import leader
from scrm.kernel.settings import settings
from scrm.transfers.models import PlanKind
from scrm.transfers.queries import due
from scrm.transfers.service import alerting, completing, defaults, unassigned
from scrm.transfers.service.asking import ask_next
from scrm.transfers.service.results import Page, look_at_groups, record_pages
from scrm.transfers.service.watches import Watched, claim_watches, watch_is_due
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

log = structlog.get_logger(__name__)

BUDGET_SECONDS = 20.0  # then a job makes room for others of its queue and wakes itself again
PAGE = 1000  # get_unassigned_list (wecom-api.md section 4.12)
RESULTS = {
    PlanKind.ON_JOB: "externalcontact/transfer_result",
    PlanKind.RESIGNED: "externalcontact/resigned/transfer_result",
}


@job(Queue.BROADCAST, due=due.asking_is_due)
def ask_for_transfers() -> None:
    """Plan the next calls of active plans, a few at a time; their answers wake this again."""
    for plan_id in session().scalars(due.to_ask()).all():
        more = True
        while more:
            with transaction():
                more = ask_next(plan_id)
            reached("transfers_asked")


@job(Queue.BACKGROUND, due=partial(watch_is_due, of_groups=False))
def read_results() -> None:
    """Ask WeCom what became of customers on their way, one page per pair of members and step."""
    _repeat(_read_step, read_results)


@job(Queue.BACKGROUND, due=partial(watch_is_due, of_groups=True))
def look_at_transferred_groups() -> None:
    """See whether groups on their way have their new owner, and have them read again."""
    _repeat(_group_step, look_at_transferred_groups)


@job(Queue.EVENTS, due=completing.follow_up_due)
def follow_up() -> None:
    """Bring the relations of customers who went over up to date."""
    _repeat(partial(_some, completing.follow_up), follow_up)


@job(Queue.EVENTS, due=completing.tags_due)
def copy_tags() -> None:
    """Set tags on relations that came by transfer, where the plan wants it."""
    _repeat(partial(_some, completing.copy_tags), copy_tags)


def _some(step: Callable[[], int]) -> bool:
    with transaction():
        return step() > 0


def _repeat(step: Callable[[], bool], again: Job) -> None:
    """Run ``step`` until it finds nothing or the time is over."""
    end = time.monotonic() + BUDGET_SECONDS
    while step():
        if time.monotonic() > end:
            again.wake()
            return


def _read_step() -> bool:
    """Claim pairs, ask about each at once with no transaction open, record the answers; False: none left."""
    with transaction():
        held, watches = claim_watches(of_groups=False, limit=settings().wecom.concurrency)
    if not watches:
        return False
    client = wecom(priority=Priority.SYNC)
    answers = run_parallel([partial(_page, client, watch) for watch in watches])
    reached("transfer_results_read")
    with transaction():
        record_pages(list(zip(watches, answers, strict=True)), held.token)
    for watch, answer in zip(watches, answers, strict=True):
        if isinstance(answer, WecomError):
            log.warning("transfer results not read", watch=watch.id, errcode=answer.errcode, kind=answer.kind)
    return True


def _page(client: Client, watch: Watched) -> Page:
    body = {"handover_userid": watch.handover, "takeover_userid": watch.takeover}
    if watch.cursor:
        body["cursor"] = watch.cursor
    answer = client.post(RESULTS[watch.kind], body)
    return Page(answer.get("customer") or [], answer.get("next_cursor") or None)


def _group_step() -> bool:
    with transaction():
        held, watches = claim_watches(of_groups=True, limit=1)
    for watch in watches:
        with transaction():
            look_at_groups(watch, held.token)
    return bool(watches)


@job(Queue.BACKGROUND)
def collect_unassigned() -> None:
    """Find customers of members who left, plan for them as the defaults say, and tell people; daily and on leaving."""
    with leader("transfers.unassigned") as lead:
        if lead is None:
            return
        session().rollback()
        with transaction():
            unassigned.collect_own()
        listed = _read_unassigned(wecom())
        for staff_id in defaults.members_to_plan():
            with transaction():
                defaults.plan_for_left(staff_id)
        with transaction():
            told = alerting.tell_waiting()
        log.info("unassigned customers collected", listed=listed, members_told_of=told)


def _read_unassigned(client: Client) -> int | None:
    """Read WeCom's whole list; nothing is concluded from a part of it. None: it could not be read to its end."""
    session().rollback()  # nothing is open while WeCom is called
    asked_at, cursor, listed = utcnow(), "", 0
    while True:
        body: dict[str, Any] = {"page_size": PAGE} | ({"cursor": cursor} if cursor else {})
        try:
            answer = client.post("externalcontact/get_unassigned_list", body)
        except WecomError as error:
            log.warning("unassigned customers could not be listed", errcode=error.errcode, kind=error.kind)
            return None
        rows = answer.get("info") or []
        with transaction():
            unassigned.record_listed(rows, asked_at)
        listed += len(rows)
        cursor = "" if answer.get("is_last") else answer.get("next_cursor") or ""
        if not cursor:
            break
    with transaction():
        unassigned.close_unlisted(asked_at)
    return listed
