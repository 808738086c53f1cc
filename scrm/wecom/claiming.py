"""Claiming effects for a lane: which may go now, in which order, and whose lease ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, or_, select, true, tuple_
from sqlalchemy.orm import aliased

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.leases import claim
from scrm.wecom.gates import Gates, Pair
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.outcomes import Work
from scrm.wecom.registry import kind_named, kinds

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


def claim_to_send(queue: Queue, gates: Gates, limit: int, seconds: float) -> list[Work]:
    """Take effects to send; the commit that follows says ``sent`` before anything leaves.

    Where the gates are shut, only expired effects are taken; where WeCom is being tried, one.

    :returns: works in order of priority and age; one whose deadline has passed stays ``planned`` in the table
    """
    now = utcnow()
    ready = and_(sendable(queue, now), first_of_its_subject())
    late = Effect.deadline_at < now
    values = {
        "state": case((late, EffectState.PLANNED), else_=EffectState.SENT),
        "sent_at": case((late, Effect.sent_at), else_=now),
    }
    free = or_(_of(gates.narrow, others=True), late) if gates.narrow else true()
    works = _claimed(and_(ready, free), limit, seconds, values)
    for pair in gates.trying:
        works += _claimed(and_(ready, _of([pair])), 1, seconds, values)
    return sorted(works, key=lambda work: (work.kind.priority, work.id))


def claim_to_ask(queue: Queue, gates: Gates, limit: int, seconds: float) -> list[Work]:
    """Take effects nobody knows the fate of, to ask WeCom about them.

    They stay due: should this worker die as well, the next one asks (without ``next_at`` it would be left to a person).
    """
    now = utcnow()
    values = {"state": EffectState.UNKNOWN, "next_at": now}
    free = _of(gates.narrow, others=True) if gates.narrow else true()
    works = _claimed(and_(askable(queue, now), free), limit, seconds, values)
    for pair in gates.trying:
        works += _claimed(and_(askable(queue, now), _of([pair])), 1, seconds, values)
    return works


def _of(pairs: Sequence[Pair], *, others: bool = False) -> ColumnElement[bool]:
    """Effects of these apps and kinds, or of all ``others``."""
    among = tuple_(Effect.app, Effect.kind)
    return among.not_in(pairs) if others else among.in_(pairs)


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
