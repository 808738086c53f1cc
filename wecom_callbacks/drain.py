"""Works through one lane of the inbox: claim, parse, group by handler, handle each group in one transaction.

A batch that raises is halved until the row that is the reason stands alone; that row is put off and in the end parked
as dead, the others go on. Rows are marked in the handler's own transaction and only while their lease is held, so that
a worker which was overtaken leaves nothing behind.
"""

from __future__ import annotations

import traceback
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from scrm.kernel import crashpoints
from scrm.kernel.apart import Apart
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.leases import Claim
from scrm.kernel.settings import settings
from wecom_callbacks import service, xml
from wecom_callbacks.models import InboxRow, Lane
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.refusals import Refused
from wecom_callbacks.registry import Callback, Handler, handler_for, ignoring

log = structlog.get_logger(__name__)

LEASE_MARGIN = 0.25  # share of the lease that must be left before another group is begun


class _LeaseEnding(Exception):  # noqa: N818  # reads as a statement where it is raised
    """Too little of the lease is left to begin more."""


@dataclass(frozen=True)
class _Work:
    """A claim with its rows by id, and when to stop."""

    token: uuid.UUID
    rows: dict[int, InboxRow]
    stop_at: datetime


def work_batch(lane: Lane) -> int:
    """Handle the next batch of ``lane``; returns how many rows were taken, 0 when nothing is due."""
    with transaction():
        claim = service.claim_batch(lane)
    taken = len(claim.rows)
    if claim.rows:
        crashpoints.reached("batch_claimed")
        _work_through(claim)
    with transaction():
        suspect = service.claim_suspect(lane)
    if suspect.rows:
        crashpoints.reached("batch_claimed")
        _work_through(suspect)
    return taken + len(suspect.rows)


def _work_through(claim: Claim) -> None:
    margin = timedelta(seconds=settings().inbox.lease_seconds * LEASE_MARGIN)
    work = _Work(claim.token, {row.id: row for row in claim.rows}, claim.until - margin)
    try:
        for handler, batch in _groups(work):
            _handle(work, handler, batch)
    except _LeaseEnding:
        log.warning("lease is ending, rows are given back", rows=len(claim.rows))
        with transaction():
            service.give_back(claim.token)


def _groups(work: _Work) -> Iterable[tuple[Handler | None, list[Callback]]]:
    """The parsed rows by handler, in the order of receipt; rows that failed before come alone, at the end."""
    together: dict[Handler | None, list[Callback]] = defaultdict(list)
    alone: list[tuple[Handler | None, list[Callback]]] = []
    for row in work.rows.values():
        callback = _parsed(work, row)
        if callback is None:
            continue
        handler = handler_for(callback.event, callback.change_type)
        if row.error is None and row.attempts <= service.SUSPECT_ATTEMPTS:
            together[handler].append(callback)
        else:
            alone.append((handler, [callback]))
    return [*together.items(), *alone]


def _parsed(work: _Work, row: InboxRow) -> Callback | None:
    """The row as a callback; None (and the row is failed) when it cannot be one."""
    if row.attempts > settings().inbox.max_attempts:
        _fail(work, row, f"its worker ended {row.attempts - 1} times while handling it", None)
        return None
    try:
        return parse_callback(row)
    except Refused as refused:
        _fail(work, row, refused.refusal.line, None)
        return None


def parse_callback(row: InboxRow) -> Callback:
    """A stored row as handlers see it; raises Refused when its body is no XML we take."""
    fields = xml.parse(row.body.encode(), settings().callbacks.max_xml_depth)
    kind = _text(fields.get("MsgType")) or "unknown"
    event = _text(fields.get("Event")) or "unknown" if kind == "event" else f"message.{kind}"
    return Callback(
        row_id=row.id,
        app=row.app,
        event=event,
        change_type=_text(fields.get("ChangeType")),
        event_at=_event_at(fields.get("CreateTime"), row.received_at),
        fields=fields,
        replayed=row.replayed_at is not None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _event_at(created: object, received: datetime) -> datetime:
    """``CreateTime`` as a time; the time of receipt when it is missing or no plausible number."""
    try:
        return from_epoch(int(str(created)))
    except (ValueError, OverflowError, OSError):
        return received


def _handle(work: _Work, handler: Handler | None, batch: list[Callback]) -> None:
    """Handle and mark a batch in one transaction; halve it when it raises."""
    if utcnow() > work.stop_at:
        raise _LeaseEnding
    with (
        Apart() as handling
    ):  # while the database is away the rows keep their lease, and are taken again after it
        _run(work.token, handler, batch)
    error = handling.error
    if isinstance(error, service.LeaseLost):
        log.warning("lease lost, nothing was written", rows=len(batch), inbox_id=batch[0].row_id)
    elif error and len(batch) > 1:
        middle = len(batch) // 2
        _handle(work, handler, batch[:middle])
        _handle(work, handler, batch[middle:])
    elif error:
        _fail(work, work.rows[batch[0].row_id], f"{type(error).__name__}: {error}", batch[0], error)


def _run(token: uuid.UUID, handler: Handler | None, batch: list[Callback]) -> None:
    with transaction():
        service.end_with_lease()
        ignored = handler(batch) if handler else ignoring(batch, [], Ignored.UNKNOWN_EVENT)
        service.finish(token, batch, ignored or {})
        crashpoints.reached("batch_handled")


def _fail(
    work: _Work, row: InboxRow, reason: str, callback: Callback | None, error: Exception | None = None
) -> None:
    """Record a failure; the log gets type and place only, an error's text may hold what a customer wrote."""
    with transaction():
        state = service.fail(work.token, row, reason, callback)
    log.warning(
        "callback failed",
        inbox_id=row.id,
        event_kind=callback.event if callback else None,
        attempts=row.attempts,
        state=state,
        error=type(error).__name__ if error else reason,
        where=_place(error),
    )


def _place(error: Exception | None) -> str | None:
    """File and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
