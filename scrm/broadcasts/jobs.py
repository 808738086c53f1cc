"""What workers do for broadcasts: start, freeze, hand over, stop, and read results. Each is safe to run twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from sqlalchemy import ColumnElement

from config.queues import Queue
from config.settings import SettingsError
from scrm.broadcasts.models import BroadcastChunk
from scrm.broadcasts.queries import due
from scrm.broadcasts.service.freezing import StateMovedError, freeze_audience
from scrm.broadcasts.service.pages import ClaimedChunk, Page, claimed_chunks, result_page, task_page
from scrm.broadcasts.service.results import record_pages
from scrm.broadcasts.service.states import start_due_broadcasts
from scrm.broadcasts.service.submission import submit_next_chunks
from scrm.broadcasts.service.task_stops import plan_cancellations
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import Job, job
from scrm.kernel.leases import Claim, claim
from scrm.kernel.settings import settings
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import Denied, WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

log = structlog.get_logger(__name__)

BUDGET_SECONDS = 20.0  # then a job makes room for others of its queue and wakes itself again
LEASE_SECONDS = 120.0  # longer than one call may take with its waits and its one retry
PAGE = 1000  # most rows WeCom gives per page (wecom-api.md section 4.9)
TASK = "externalcontact/get_groupmsg_task"
Look = Callable[[Client, ClaimedChunk], Page]


@job(Queue.BROADCAST, due=due.start_is_due)
def start_broadcasts() -> None:
    """Start every scheduled broadcast whose time has come, exactly once."""
    with transaction():
        started = start_due_broadcasts()
    if started:
        log.info("scheduled broadcasts started", broadcasts=started)


@job(Queue.BROADCAST, due=due.freeze_is_due)
def freeze_audiences() -> None:
    """Freeze the audience of every started broadcast."""
    for broadcast_id in session().scalars(due.to_freeze()).all():
        try:
            with transaction():
                freeze_audience(broadcast_id)
                reached("audience_written")
            reached("audience_committed")
        except StateMovedError:
            log.info("broadcast stopped while its audience was being frozen", broadcast=broadcast_id)


@job(Queue.BROADCAST, due=due.submission_is_due)
def submit_chunks() -> None:
    """Hand the next chunks over, a few at a time; their answers wake this again."""
    for broadcast_id in session().scalars(due.to_submit()).all():
        more = True
        while more:
            with transaction():
                more = submit_next_chunks(broadcast_id) > 0
            reached("chunks_planned")


@job(Queue.BROADCAST, due=due.stop_is_due)
def stop_tasks() -> None:
    """Stop the tasks of cancelled broadcasts at WeCom, except those whose member has sent already."""
    _repeat(lambda: _step(due.stoppable(), Priority.BROADCAST, _look_at_task, plan_cancellations), stop_tasks)


@job(Queue.BACKGROUND, due=due.poll_is_due)
def poll_results() -> None:
    """Ask WeCom what became of tasks and recipients, one page per chunk and step."""
    _repeat(lambda: _step(due.pollable(), Priority.SYNC, _look, record_pages), poll_results)


def _repeat(step: Callable[[], bool], again: Job) -> None:
    """Run ``step`` until it finds nothing or the time is over."""
    end = time.monotonic() + BUDGET_SECONDS
    while step():
        if time.monotonic() > end:
            again.wake()
            return


def _step(
    ready: ColumnElement[bool], priority: Priority, look: Look, record: Callable[[Any, Any], None]
) -> bool:
    """Claim chunks, ask WeCom about each at once with no transaction open, record the answers; False: none left."""
    with transaction():
        held = _claim(ready)
        chunks = claimed_chunks(held.ids)
    if not chunks:
        return False
    clients = {app: _client(app, priority) for app in {chunk.app for chunk in chunks}}
    answers = run_parallel([partial(_answer, look, clients[chunk.app], chunk) for chunk in chunks])
    reached("pages_read")
    with transaction():
        record(list(zip(chunks, answers, strict=True)), held.token)
    reached("pages_recorded")
    for chunk, answer in zip(chunks, answers, strict=True):
        if isinstance(answer, WecomError):
            log.warning("mass-send task not read", chunk=chunk.id, errcode=answer.errcode, kind=answer.kind)
    return True


def _client(app: str | None, priority: Priority) -> Client | None:
    """A client of the app that made a task; None when it is not configured any more."""
    try:
        return wecom(app, priority)
    except SettingsError:
        return None


def _answer(look: Look, client: Client | None, chunk: ClaimedChunk) -> Page:
    """What WeCom says of this chunk; a missing app is an answer too, so that it cannot stop the others."""
    if client is None:
        raise Denied(TASK, None, f"the app {chunk.app!r} that made the task is not configured any more")
    return look(client, chunk)


def _claim(ready: ColumnElement[bool]) -> Claim:
    return claim(
        BroadcastChunk,
        ready=ready,
        order_by=BroadcastChunk.next_at,
        limit=settings().wecom.concurrency,
        seconds=LEASE_SECONDS,
        values={},
    )


def _look(client: Client, chunk: ClaimedChunk) -> Page:
    """The next page of a chunk's pass."""
    if chunk.cursor is None:
        return _look_at_task(client, chunk)
    body = {"msgid": chunk.msgid, "userid": chunk.userid, "limit": PAGE, "cursor": chunk.cursor}
    return result_page(client.post("externalcontact/get_groupmsg_send_result", body))


def _look_at_task(client: Client, chunk: ClaimedChunk) -> Page:
    """Whether the member has confirmed. Our tasks have one sender, so this is one page unless WeCom adds others."""
    cursor: str | None = ""
    while cursor is not None:
        body = {"msgid": chunk.msgid, "limit": PAGE, "cursor": cursor}
        answer = client.post(TASK, body)
        if (page := task_page(answer, chunk.userid)) is not None:
            return page
        cursor = answer.get("next_cursor") or None
    return Page(status=0)  # WeCom lists nobody: the member was removed or left; the task ends with poll_days
