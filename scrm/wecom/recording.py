"""Claiming effects for a lane and writing their outcomes: few statements a batch, fenced by the lease."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Text,
    Uuid,
    and_,
    case,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import aliased

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.events import publish
from scrm.kernel.leases import claim
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.outcomes import Outcome, Work
from scrm.wecom.registry import kind_named, kinds

log = structlog.get_logger(__name__)

TAKEN_BEFORE = timedelta(days=1)  # identities of effects sent up to this long before the asked ones are known
OPEN = (EffectState.PLANNED, EffectState.SENT, EffectState.UNKNOWN)


def free(now: datetime) -> ColumnElement[bool]:
    """No living lease holds the row."""
    return or_(Effect.lease_until.is_(None), Effect.lease_until < now)


def sendable(queue: Queue, now: datetime) -> ColumnElement[bool]:
    """Planned, and its time has come."""
    due = or_(Effect.next_at.is_(None), Effect.next_at <= now)
    return and_(Effect.queue == queue, Effect.state == EffectState.PLANNED, due)


def askable(queue: Queue, now: datetime) -> ColumnElement[bool]:
    """Unknown and due to be asked about, or left behind by a worker that died after handing it over."""
    waiting = and_(Effect.state == EffectState.UNKNOWN, Effect.next_at <= now)
    return and_(Effect.queue == queue, or_(waiting, Effect.state == EffectState.SENT))


@lru_cache(maxsize=1)
def first_of_its_subject() -> ColumnElement[bool]:
    """For kinds carried out in order: no older one of the same subject is open (one left to a person does not count)."""
    ordered = [kind.name for kind in kinds().values() if kind.in_order]
    older = aliased(Effect)
    person = and_(older.state == EffectState.UNKNOWN, older.next_at.is_(None), older.lease_until.is_(None))
    before = exists().where(
        older.subject == Effect.subject,
        older.kind == Effect.kind,
        older.id < Effect.id,
        older.state.in_(OPEN),
        ~person,
    )
    return or_(Effect.kind.not_in(ordered), ~before)


def claim_to_send(queue: Queue, closed: Sequence[tuple[str, str]], limit: int, seconds: float) -> list[Work]:
    """Take effects to send; the commit that follows says ``sent`` before anything leaves.

    :param closed: (app, kind) pairs whose API WeCom has closed; only their expired effects are taken
    :returns: works in order of priority and age; one whose deadline has passed stays ``planned`` in the table
    """
    now = utcnow()
    ready = and_(sendable(queue, now), first_of_its_subject())
    late = Effect.deadline_at < now
    if closed:
        ready = and_(ready, or_(tuple_(Effect.app, Effect.kind).not_in(closed), late))
    values = {
        "state": case((late, EffectState.PLANNED), else_=EffectState.SENT),
        "sent_at": case((late, Effect.sent_at), else_=now),
    }
    return _claimed(ready, limit, seconds, values)


def claim_to_ask(queue: Queue, limit: int, seconds: float) -> list[Work]:
    """Take effects nobody knows the fate of, to ask WeCom about them.

    They stay due: should this worker die as well, the next one asks (without ``next_at`` it would be left to a person).
    """
    now = utcnow()
    return _claimed(askable(queue, now), limit, seconds, {"state": EffectState.UNKNOWN, "next_at": now})


def _claimed(ready: ColumnElement[bool], limit: int, seconds: float, values: dict[str, Any]) -> list[Work]:
    order = (Effect.priority, Effect.id)
    held = claim(Effect, ready=ready, order_by=order, limit=limit, seconds=seconds, values=values)
    for row in held.rows:
        session().expunge(row)  # it lives on as Work; whoever reads the row later must see the outcome
    rows = sorted(held.rows, key=lambda row: (row.priority, row.id))
    return [
        Work(
            row.id, kind_named(row.kind), row.app, row.payload, row.attempts, row.sent_at, row.deadline_at, held.token, held.until
        )
        for row in rows
    ]  # fmt: skip


def taken_identities(works: Iterable[Work]) -> dict[str, frozenset[str]]:
    """By kind, the identities that belong to other effects, for kinds that find their own by exclusion."""
    found: dict[str, frozenset[str]] = {}
    for kind in {work.kind.name: work.kind for work in works if work.kind.identity}.values():
        since = min(work.sent_at or utcnow() for work in works if work.kind is kind) - TAKEN_BEFORE
        made = Effect.result[kind.identity].astext
        query = select(made).where(Effect.kind == kind.name, Effect.sent_at >= since, made.is_not(None))
        found[kind.name] = frozenset(session().scalars(query))
    return found


def record(outcomes: Sequence[Outcome]) -> None:
    """Write outcomes and tell what is settled, in one transaction; a batch that fails is written one by one.

    :raises OperationalError: when the database cannot be reached; nothing is written then
    """
    if not outcomes:
        return
    try:
        with transaction():
            write(outcomes)
    except OperationalError:
        raise  # the database is away: the outcomes are kept and written by the next run
    except Exception as error:  # a subscriber's defect must not hold up the effects of others
        if len(outcomes) == 1:
            log.exception("outcome not recorded", effect_id=outcomes[0].id, error=type(error).__name__)
            return
        for outcome in outcomes:
            record([outcome])


def write(outcomes: Sequence[Outcome]) -> None:
    """One UPDATE for the batch; rows whose lease is no longer held stay as they are."""
    now = utcnow()
    rows = func.jsonb_to_recordset(literal([_json(o) for o in outcomes], JSONB)).table_valued(
        column("id", BigInteger), column("token", Uuid), column("state", Text), column("result", JSONB(none_as_null=True)),
        column("errcode", BigInteger), column("error", Text), column("next_at", DateTime(timezone=True)),
        column("uncounted", Integer), column("finished_at", DateTime(timezone=True)),
    ).render_derived("o", with_types=True)  # fmt: skip
    new = rows.c
    changed = (
        update(Effect)
        .where(Effect.id == new.id, Effect.lease_token == new.token)
        .values(
            state=new.state,
            result=func.coalesce(new.result, Effect.result),
            errcode=new.errcode,
            error=new.error,
            next_at=new.next_at,
            attempts=Effect.attempts - new.uncounted,
            finished_at=new.finished_at,
            lease_token=None,
            lease_until=None,
        )
        .returning(Effect.id, Effect.kind, Effect.key, Effect.subject)
        .execution_options(synchronize_session=False)
    )
    written = {row.id: row for row in session().execute(changed)}
    _tell(outcomes, written, now)


def _tell(outcomes: Sequence[Outcome], written: dict[int, Any], now: datetime) -> None:
    for outcome in outcomes:
        row = written.get(outcome.id)
        if row is None:
            log.warning("lease lost, outcome dropped", effect_id=outcome.id, state=outcome.state)
            continue
        if outcome.final:
            publish(EffectSettled(row.id, row.kind, row.key, row.subject, outcome.state, outcome.errcode))
        if outcome.state != EffectState.CONFIRMED:
            log.info(
                "effect", effect_id=row.id, kind=row.kind, state=outcome.state, errcode=outcome.errcode, reason=outcome.error
            )  # fmt: skip


def _json(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "token": str(outcome.token),
        "state": outcome.state,
        "result": outcome.result,
        "errcode": outcome.errcode,
        "error": outcome.error,
        "next_at": outcome.next_at.isoformat() if outcome.next_at else None,
        "uncounted": 0 if outcome.counted else 1,
        "finished_at": utcnow().isoformat() if outcome.final else None,
    }
