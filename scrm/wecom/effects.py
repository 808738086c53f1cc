"""Planning, cancelling and settling effects by hand: the ledger's services. They never commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.wecom.events import EffectSettled, EffectsPlanned
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.registry import kind_named, kinds

LONGEST_WAIT = timedelta(
    days=30
)  # WeCom's longest block (wecom-api.md section 1.4); nothing is retried beyond it


class Resolution(StrEnum):
    """What a person found out about an unknown effect."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    AGAIN = "again"


@dataclass(frozen=True)
class Intent:
    """One change wanted at WeCom.

    :param key: unique name of the intent, such as ``mark_tag:follow:12:v3``; planning it twice is planning it once
    :param subject: the row it is about, such as ``follow:12``
    :param deadline_at: not sent after this moment; None: 30 days after it may first be sent
    :param not_before: not sent before this moment
    :param app: name of the app that sends it; None: the first with the kind's feature
    :param queue: which lane carries it; None: the kind's own
    """

    kind: str
    key: str
    payload: dict[str, Any]
    subject: str | None = None
    deadline_at: datetime | None = None
    not_before: datetime | None = None
    app: str | None = None
    queue: Queue | None = None


def plan(intents: Iterable[Intent]) -> dict[str, int]:
    """Write down what shall be done at WeCom; the lanes are woken after the commit.

    :returns: id of the effect by key; a key that was planned before keeps its row as it is
    :raises KeyError: for a kind that does not exist
    """
    wanted = {intent.key: intent for intent in intents}
    if not wanted:
        return {}
    now = utcnow()
    rows = [_row(wanted[key], now) for key in sorted(wanted)]  # in one order everywhere: no deadlock
    adding = insert(Effect).on_conflict_do_nothing(index_elements=["key"]).returning(Effect.key, Effect.id)
    ids: dict[str, int] = {row.key: row.id for row in session().execute(adding, rows)}
    publish(*(EffectsPlanned(queue) for queue in _lanes(rows, ids, now)))
    if missing := wanted.keys() - ids.keys():
        known = select(Effect.key, Effect.id).where(Effect.key.in_(missing))
        ids.update({row.key: row.id for row in session().execute(known)})
    return ids


def _row(intent: Intent, now: datetime) -> dict[str, Any]:
    kind = kind_named(intent.kind)
    return {
        "kind": intent.kind,
        "key": intent.key,
        "app": intent.app or settings().app_for(kind.feature),
        "queue": intent.queue or kind.queue,
        "priority": int(kind.priority),
        "payload": intent.payload,
        "subject": intent.subject,
        "deadline_at": intent.deadline_at or (intent.not_before or now) + LONGEST_WAIT,
        "next_at": intent.not_before,
    }


def _lanes(rows: Sequence[dict[str, Any]], added: dict[str, int], now: datetime) -> set[Queue]:
    """Lanes that have something to do at once; the clock finds what is due later."""
    return {
        row["queue"]
        for row in rows
        if row["key"] in added and (row["next_at"] is None or row["next_at"] <= now)
    }


def cancel(keys: Iterable[str]) -> set[str]:
    """Call off effects that were not handed over for sending yet.

    :returns: the keys that are cancelled now; others were sent, settled or never planned
    """
    now = utcnow()
    idle = or_(Effect.lease_until.is_(None), Effect.lease_until < now)
    gone = (
        update(Effect)
        .where(Effect.key.in_(sorted(set(keys))), Effect.state == EffectState.PLANNED, idle)
        .values(state=EffectState.CANCELLED, finished_at=now, lease_token=None, lease_until=None)
        .returning(Effect)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    rows = session().scalars(gone).all()
    publish(*(settled(row) for row in rows))
    return {row.key for row in rows}


def call_off(effect_ids: Sequence[int]) -> None:
    """Send none of these from now on, neither by themselves nor by hand; what is under way may still succeed.

    For what :func:`cancel` cannot take: failed ones, and those that a worker holds or asks about.
    """
    now = utcnow()
    over = (EffectState.CONFIRMED, EffectState.CANCELLED, EffectState.EXPIRED)
    wanted = (
        select(Effect.id)
        .where(Effect.id.in_(effect_ids), Effect.state.not_in(over), Effect.deadline_at > now)
        .order_by(Effect.id)
        .with_for_update(skip_locked=True)  # its outcome is being written at this moment
    )
    changed = update(Effect).where(Effect.id.in_(select(wanted.cte("wanted").c.id))).values(deadline_at=now)
    session().execute(changed.execution_options(synchronize_session=False))


def resolve(effect_id: int, outcome: Resolution) -> Effect:
    """Settle an unknown effect by what a person saw at WeCom, or let it be sent again.

    :raises NotFound: no such effect
    :raises Conflict: it is not unknown, is being asked about just now, or its deadline has passed (``again``)
    """
    effect = _locked(effect_id)
    if effect.state != EffectState.UNKNOWN:
        raise Conflict(f"effect {effect_id} is {effect.state}; only an unknown one can be resolved")
    if outcome == Resolution.AGAIN:
        return _plan_again(effect)
    effect.state, effect.finished_at, effect.next_at = EffectState(outcome), utcnow(), None
    effect.parked = effect.parked_at = None
    session().flush()
    publish(settled(effect))
    return effect


def retry(effect_id: int) -> Effect:
    """Send a failed effect again, from the start; one whose end nobody could hear of is told again.

    :raises NotFound: no such effect
    :raises Conflict: it has not failed, its deadline has passed, or sending it again would do something twice
    """
    effect = _locked(effect_id)
    if effect.parked is Parked.UNTOLD:
        effect.tell_at, effect.tellings, effect.parked, effect.parked_at = utcnow(), 0, None, None
        publish(EffectsPlanned(effect.queue))
        return effect
    if effect.state != EffectState.FAILED:
        raise Conflict(f"effect {effect_id} is {effect.state}; only a failed one can be retried")
    if session().scalar(select(exists().where(Effect.id == effect_id, would_double()))):
        raise Conflict(
            f"effect {effect_id} is not sent again: whoever planned it has planned another since, or does so by itself"
        )
    return _plan_again(effect)


def would_double() -> ColumnElement[bool]:
    """The clause of failed effects whose sending again would make or move something twice.

    A newer one of the subject was planned in their place (``Kind.once``), or whoever planned them has gone on since
    (``Kind.planned_anew``).
    """
    newer = aliased(Effect)
    nothing_came = (EffectState.CANCELLED, EffectState.EXPIRED)
    replaced = exists().where(
        newer.subject == Effect.subject,
        newer.kind == Effect.kind,
        newer.id > Effect.id,
        newer.state.not_in(nothing_came),
    )
    once = [kind.name for kind in kinds().values() if kind.once]
    gone_on = [kind.name for kind in kinds().values() if kind.planned_anew]
    return or_(Effect.kind.in_(gone_on), and_(Effect.kind.in_(once), replaced))


def _locked(effect_id: int) -> Effect:
    effect = session().get(Effect, effect_id, with_for_update=True, populate_existing=True)
    if effect is None:
        raise NotFound(f"there is no effect {effect_id}")
    if effect.lease_until and effect.lease_until > utcnow():
        raise Conflict(f"effect {effect_id} is being worked on; ask again in a minute")
    return effect


def _plan_again(effect: Effect) -> Effect:
    if effect.deadline_at and effect.deadline_at <= utcnow():
        raise Conflict(
            f"effect {effect.id} cannot be sent again: its deadline passed at {effect.deadline_at}"
        )
    effect.state, effect.attempts = EffectState.PLANNED, 0
    effect.errcode = effect.error = effect.next_at = effect.finished_at = None
    effect.parked = effect.parked_at = None
    session().flush()
    publish(EffectsPlanned(effect.queue))
    return effect


def settled(effect: Effect) -> EffectSettled:
    """The event that tells a final state."""
    return EffectSettled(
        effect.id, effect.kind, effect.key, effect.subject, EffectState(effect.state), effect.errcode
    )
