"""Having many effects sent, or told, again: by id, kind, errcode, app, time; with a look before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.events import publish
from scrm.wecom.claiming import OPEN, free
from scrm.wecom.effects import would_double
from scrm.wecom.events import EffectsPlanned
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.registry import kinds

AT_ONCE = 1000  # effects of one call; the rest by calling again


@dataclass(frozen=True)
class Selection:
    """Which failed or parked effects: by id, or everything that fits all the other fields.

    :param since: settled at or after; ``until``: settled before
    """

    ids: Sequence[int] | None = None
    kind: str | None = None
    errcode: int | None = None
    app: str | None = None
    parked: Parked | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Retried:
    """What a retry took, or would take.

    :param ids: of effects that are sent or told again; empty for a look only
    :param by_kind: how many of each kind
    :param too_late: failed, and their deadline has passed
    :param superseded: failed, and a newer effect of the same subject was sent since: its value would be overwritten.
        By id they are taken all the same, unless something would be made or moved twice.
    :param more: whether more would fit (call again)
    """

    ids: list[int] = field(default_factory=list)
    by_kind: dict[str, int] = field(default_factory=dict)
    too_late: int = 0
    superseded: int = 0
    more: bool = False


def look(selection: Selection) -> Retried:
    """What :func:`retry_all` would take, counted; nothing is changed."""
    now = utcnow()
    fits = _fits(selection)
    superseded = _superseded(selection)
    late = _too_late(now)
    each = select(Effect.kind, late.label("late"), superseded.label("superseded")).where(fits).subquery().c
    asked = select(each.kind, each.late, each.superseded, func.count().label("many"))
    by_kind: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for row in session().execute(asked.group_by(each.kind, each.late, each.superseded)):
        if row.late or row.superseded:
            counts["late" if row.late else "superseded"] += row.many
        else:
            by_kind[row.kind] += row.many
    taken = dict(sorted(by_kind.items()))
    return Retried([], taken, counts["late"], counts["superseded"], sum(by_kind.values()) > AT_ONCE)


def retry_all(selection: Selection) -> Retried:
    """Send failed effects again from the start, and tell the end of those again that nobody could hear of.

    :raises InvalidInput: when nothing says which
    """
    now = utcnow()
    seen = look(selection)
    able = and_(_fits(selection), ~_too_late(now), ~_superseded(selection))
    chosen = _locked(able)
    again = (
        update(Effect)
        .where(Effect.id.in_(select(chosen.cte("chosen").c.id)))
        .values(**_from_the_start(now))
        .returning(Effect.id, Effect.kind, Effect.queue)
        .execution_options(synchronize_session=False)
    )
    rows = session().execute(again).all()
    publish(*(EffectsPlanned(Queue(queue)) for queue in sorted({row.queue for row in rows})))
    by_kind = dict(sorted(Counter(row.kind for row in rows).items()))
    return Retried(sorted(row.id for row in rows), by_kind, seen.too_late, seen.superseded, seen.more)


def _locked(able: ColumnElement[bool]) -> Select[int]:
    return select(Effect.id).where(able).order_by(Effect.id).limit(AT_ONCE).with_for_update(skip_locked=True)


def _from_the_start(now: datetime) -> dict[str, Any]:
    """One UPDATE for both: an untold one keeps what WeCom said and is told; a failed one is planned anew."""
    told: ColumnElement[bool] = Effect.parked == Parked.UNTOLD

    def kept(column: Any, new: Any = None) -> Any:
        return case((told, column), else_=new)

    return {
        "state": kept(Effect.state, EffectState.PLANNED),
        "attempts": kept(Effect.attempts, 0),
        "errcode": kept(Effect.errcode),
        "error": kept(Effect.error),
        "finished_at": kept(Effect.finished_at),
        "next_at": None,
        "tell_at": case((told, now), else_=None),
        "tellings": 0,
        "parked": None,
        "parked_at": None,
    }


def _fits(selection: Selection) -> ColumnElement[bool]:
    wanted: list[ColumnElement[bool]] = []
    if selection.ids is not None:
        wanted.append(Effect.id.in_(selection.ids))
    for name in ("kind", "errcode", "app", "parked"):
        value = getattr(selection, name)
        if value is not None:
            wanted.append(getattr(Effect, name) == value)
    if selection.since:
        wanted.append(Effect.finished_at >= selection.since)
    if selection.until:
        wanted.append(Effect.finished_at < selection.until)
    if not wanted:
        raise InvalidInput("ids, kind, errcode, app, parked, since or until must say which effects")
    again = or_(Effect.state == EffectState.FAILED, Effect.parked == Parked.UNTOLD)
    return and_(again, free(utcnow()), *wanted)


def _too_late(now: datetime) -> ColumnElement[bool]:
    """Its moment has passed; what is only told again is never too late."""
    return and_(Effect.deadline_at <= now, Effect.parked.is_distinct_from(Parked.UNTOLD))


def _superseded(selection: Selection) -> ColumnElement[bool]:
    """Sets something that a newer effect of the same subject has set or will set, or would make something twice."""
    newer = aliased(Effect)
    ordered = [kind.name for kind in kinds().values() if kind.in_order]
    later = exists().where(
        newer.subject == Effect.subject,
        newer.kind == Effect.kind,
        newer.id > Effect.id,
        newer.state.in_([*OPEN, EffectState.CONFIRMED]),
    )
    by_id = selection.ids is not None
    told = Effect.parked.is_distinct_from(Parked.UNTOLD)
    overwrites = and_(Effect.kind.in_([] if by_id else ordered), later)
    return and_(told, or_(overwrites, would_double()))
