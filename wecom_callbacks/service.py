"""The inbox's only writer after the intake: claim, finish, fail, give back, replay, purge. Never commits."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.leases import RELEASED, Claim, claim, held
from scrm.kernel.settings import settings
from wecom_callbacks.models import CallbackNotice, InboxRow, InboxState, Lane
from wecom_callbacks.queries import due_in
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Callback

SUSPECT_ATTEMPTS = 2  # a batch may end with its worker this often; then its rows are tried one by one
BACKOFF_SECONDS = (2, 10, 60, 300)  # after the first, second, … failure; the last repeats
ERROR_LENGTH = 500
REPLAY_MAX = 10_000  # rows a call; more would hold locks for long
REPLAYABLE = (InboxState.DONE, InboxState.IGNORED, InboxState.FAILED, InboxState.DEAD)

FINISH = text("""
UPDATE callback_inbox AS row
SET state = CASE WHEN v.reason IS NULL THEN 'done' ELSE 'ignored' END, reason = v.reason, event = v.event,
    change_type = v.change_type, event_at = v.event_at, finished_at = :now,
    error = NULL, next_at = NULL, lease_token = NULL, lease_until = NULL
FROM unnest(CAST(:ids AS bigint[]), CAST(:events AS text[]), CAST(:changes AS text[]), CAST(:times AS timestamptz[]),
     CAST(:reasons AS text[])) AS v(id, event, change_type, event_at, reason)
WHERE row.id = v.id AND row.lease_token = :token AND row.state = 'processing'
""")


class LeaseLost(Exception):  # noqa: N818  # reads as a statement where it is raised
    """Somebody else holds the rows now: whatever this transaction did must not be."""


@dataclass(frozen=True)
class Selection:
    """Which callbacks to replay: by id, or everything that fits all the other fields.

    :param since: received at or after; ``until``: received before
    """

    ids: Sequence[int] | None = None
    state: InboxState | None = None
    event: str | None = None
    change_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Notice:
    """WeCom has something to fetch; ``subject`` is the id of a job, or empty."""

    event: str
    app: str
    told_at: datetime
    subject: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Replayed:
    """What a replay took: row ids, the lanes to wake, and whether more would fit (call again)."""

    ids: list[int]
    lanes: set[Lane]
    more: bool


def claim_batch(lane: Lane) -> Claim:
    """Take the next rows of a lane: new ones, failed ones whose time has come, those of a worker that ended."""
    suspect = and_(InboxRow.state == InboxState.PROCESSING, InboxRow.attempts >= SUSPECT_ATTEMPTS)
    return _claim(lane, ~suspect, settings().inbox.batch_size)


def claim_suspect(lane: Lane) -> Claim:
    """Take one row whose workers ended more than once, alone: if it is the reason, nothing else suffers again."""
    suspect = and_(InboxRow.state == InboxState.PROCESSING, InboxRow.attempts >= SUSPECT_ATTEMPTS)
    return _claim(lane, suspect, 1)


def _claim(lane: Lane, which: ColumnElement[bool], limit: int) -> Claim:
    return claim(
        InboxRow,
        ready=and_(due_in(lane), which),
        order_by=InboxRow.id,
        limit=limit,
        seconds=settings().inbox.lease_seconds,
        values={"state": InboxState.PROCESSING},
    )


def end_with_lease() -> None:
    """Let PostgreSQL end this transaction when its process sleeps in it past the lease.

    A worker stopped in the middle (SIGSTOP, frozen machine) would otherwise keep row locks that the worker which took
    over waits for.
    """
    milliseconds = str(int(settings().inbox.lease_seconds * 1000))
    session().execute(
        text("SELECT set_config('idle_in_transaction_session_timeout', :limit, true)"),
        {"limit": milliseconds},
    )


def finish(token: uuid.UUID, batch: Sequence[Callback], ignored: Mapping[int, Ignored]) -> None:
    """Mark a handled batch, in the transaction that handled it.

    :param ignored: why rows of it were ignored; all others are done
    :raises LeaseLost: when not every row is still held by ``token``
    """
    values = {
        "ids": [callback.row_id for callback in batch],
        "events": [callback.event for callback in batch],
        "changes": [callback.change_type for callback in batch],
        "times": [callback.event_at for callback in batch],
        "reasons": [ignored.get(callback.row_id) for callback in batch],
    }
    done = session().execute(FINISH, {**values, "now": utcnow(), "token": token})
    if cast("CursorResult[Any]", done).rowcount != len(batch):
        raise LeaseLost


def fail(token: uuid.UUID, row: InboxRow, error: str, callback: Callback | None) -> InboxState | None:
    """Put one row off after a failure, or park it as dead after the last attempt.

    :param callback: the parsed row; None when it could not be parsed
    :returns: the new state; None when the lease was lost and nothing was written
    """
    dead = row.attempts >= settings().inbox.max_attempts
    state = InboxState.DEAD if dead else InboxState.FAILED
    values: dict[str, Any] = {"state": state, "error": error[:ERROR_LENGTH], **RELEASED}
    values |= {"finished_at": utcnow()} if dead else {"next_at": utcnow() + backoff(row.attempts)}
    if callback is not None:
        values |= {
            "event": callback.event,
            "change_type": callback.change_type,
            "event_at": callback.event_at,
        }
    changed = session().execute(
        update(InboxRow)
        .where(InboxRow.id == row.id, held(InboxRow, token), InboxRow.state == InboxState.PROCESSING)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return state if cast("CursorResult[Any]", changed).rowcount else None


def backoff(attempts: int) -> timedelta:
    """How long a row waits after its ``attempts``-th failure."""
    return timedelta(seconds=BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1])


def give_back(token: uuid.UUID) -> None:
    """Release what is left of a claim, as if it had not been taken."""
    session().execute(
        update(InboxRow)
        .where(held(InboxRow, token), InboxRow.state == InboxState.PROCESSING)
        .values(state=InboxState.RECEIVED, attempts=InboxRow.attempts - 1, **RELEASED)
        .execution_options(synchronize_session=False)
    )


def replay(selection: Selection) -> Replayed:
    """Have callbacks handled again. The caller wakes the lanes after the commit.

    Rows that are waiting or being worked on are left alone. Handlers see ``replayed``, so that side effects whose
    moment has passed are skipped.

    :raises InvalidInput: when nothing is selected by
    """
    chosen = (
        select(InboxRow.id)
        .where(InboxRow.state.in_(REPLAYABLE), *_clauses(selection))
        .order_by(InboxRow.id)
        .limit(REPLAY_MAX)
        .with_for_update(skip_locked=True)
    )
    values = {"attempts": 0, "next_at": None, "error": None, "reason": None, "finished_at": None, **RELEASED}
    rows = session().execute(
        update(InboxRow)
        .where(InboxRow.id.in_(select(chosen.cte("chosen").c.id)))
        .values(state=InboxState.RECEIVED, replayed_at=utcnow(), **values)
        .returning(InboxRow.id, InboxRow.lane)
        .execution_options(synchronize_session=False)
    )
    found = rows.all()
    return Replayed(sorted(row.id for row in found), {row.lane for row in found}, len(found) == REPLAY_MAX)


def _clauses(selection: Selection) -> list[ColumnElement[bool]]:
    clauses: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "ids": InboxRow.id.in_,
        "state": lambda value: InboxRow.state == value,
        "event": lambda value: InboxRow.event == value,
        "change_type": lambda value: InboxRow.change_type == value,
        "since": lambda value: InboxRow.received_at >= value,
        "until": lambda value: InboxRow.received_at < value,
    }
    made = [make(value) for name, make in clauses.items() if (value := getattr(selection, name)) is not None]
    if not made:
        raise InvalidInput.field(
            "ids", "give ids, or at least one of state, event, change_type, since, until"
        )
    return made


def note(notices: Sequence[Notice]) -> None:
    """Remember that WeCom has something to fetch; of one subject the newest notice stays."""
    newest = {(n.event, n.app, n.subject): n for n in sorted(notices, key=lambda n: n.told_at)}
    if not newest:
        return
    new = insert(CallbackNotice).values([asdict(newest[key]) for key in sorted(newest)])
    session().execute(
        new.on_conflict_do_update(
            index_elements=["event", "app", "subject"],
            set_={"told_at": new.excluded.told_at, "content": new.excluded.content},
            where=new.excluded.told_at > CallbackNotice.told_at,
        )
    )


def purge_notices(before: datetime) -> int:
    """Delete notices about single jobs that were told before; those about a whole app stay."""
    gone = session().execute(
        delete(CallbackNotice)
        .where(CallbackNotice.told_at < before, CallbackNotice.subject != "")
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", gone).rowcount


def purge_finished(before: datetime, limit: int) -> int:
    """Delete up to ``limit`` done and ignored rows that were finished before; returns how many."""
    old = (
        select(InboxRow.id)
        .where(InboxRow.state.in_((InboxState.DONE, InboxState.IGNORED)), InboxRow.finished_at < before)
        .order_by(InboxRow.id)
        .limit(limit)
    )
    gone = session().execute(
        delete(InboxRow)
        .where(InboxRow.id.in_(select(old.cte("old").c.id)))
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", gone).rowcount
