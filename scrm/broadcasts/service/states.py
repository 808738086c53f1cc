"""Changes of a broadcast's state: compare-and-set along a forward-only table, so that two callers cannot both win."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, select, true, update

from scrm.broadcasts.events import BroadcastStarted
from scrm.broadcasts.models import Broadcast, BroadcastState
from scrm.broadcasts.queries.bulk import change
from scrm.broadcasts.queries.visibility import broadcast_for
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.events import publish
from scrm.kernel.permissions import Scope

S = BroadcastState
FORWARD: dict[BroadcastState, frozenset[BroadcastState]] = {
    S.DRAFT: frozenset({S.SCHEDULED, S.PLANNING, S.CANCELLED}),
    S.SCHEDULED: frozenset({S.DRAFT, S.PLANNING, S.CANCELLED}),  # not started yet: may be taken back
    S.PLANNING: frozenset({S.SUBMITTING, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.SUBMITTING: frozenset({S.PAUSED, S.OPEN, S.CANCELLED, S.FAILED}),
    S.PAUSED: frozenset({S.PLANNING, S.SUBMITTING, S.CANCELLED}),
    S.OPEN: frozenset({S.FINISHED, S.CANCELLED}),
    S.FINISHED: frozenset(),
    S.CANCELLED: frozenset(),
    S.FAILED: frozenset(),
}
EDITABLE = (S.DRAFT, S.SCHEDULED)


def may_become(target: BroadcastState) -> list[BroadcastState]:
    """States from which ``target`` can be reached in one step."""
    return [state for state, following in FORWARD.items() if target in following]


def move(
    ids: Iterable[int],
    target: BroadcastState,
    *,
    only: Iterable[BroadcastState] | None = None,
    where: ColumnElement[bool] | None = None,
    **values: Any,
) -> list[int]:
    """Move broadcasts to ``target`` and set ``values``; returns the ids that moved (the others stood elsewhere).

    :param only: a narrower choice of present states than the table allows
    :param where: a further condition
    """
    allowed = [state for state in may_become(target) if only is None or state in set(only)]
    changed = (
        update(Broadcast)
        .where(Broadcast.id.in_(list(ids)), Broadcast.state.in_(allowed), true() if where is None else where)
        .values(state=target, updated_at=utcnow(), **values)
        .returning(Broadcast.id)
    )
    return sorted(change(changed).scalars())


def lock_broadcasts(ids: Select[Any]) -> None:
    """Hold broadcasts until the commit. Who writes chunks does this first: broadcast, chunk, target is everybody's
    order, so that a cancel and an answer of WeCom at the same moment wait for each other and never deadlock."""
    held = select(Broadcast.id).where(Broadcast.id.in_(ids)).order_by(Broadcast.id)
    session().execute(held.with_for_update(key_share=True)).all()


def moved_or_conflict(
    broadcast_id: int, moved: list[int], verb: str, needed: Iterable[BroadcastState]
) -> None:
    """Raise Conflict naming the present state unless the broadcast moved."""
    if moved:
        return
    state = session().scalar(select(Broadcast.state).where(Broadcast.id == broadcast_id))
    wanted = ", ".join(sorted(needed))
    raise Conflict(f"broadcast {broadcast_id} is {state}; to {verb} it must be one of: {wanted}")


def start_broadcast(broadcast_id: int, scope: Scope) -> Broadcast:
    """Start now, whatever its time says; a repeated start is refused because it already runs."""
    broadcast_for(broadcast_id, scope)
    moved = move([broadcast_id], S.PLANNING, only=EDITABLE, started_at=utcnow())
    moved_or_conflict(broadcast_id, moved, "start", EDITABLE)
    publish(BroadcastStarted(broadcast_id))
    return broadcast_for(broadcast_id, scope)


def start_due_broadcasts() -> list[int]:
    """Start everything whose time has come; with several workers at once each broadcast is started by one of them."""
    now = utcnow()
    due = select(Broadcast.id).where(Broadcast.state == S.SCHEDULED, Broadcast.send_at <= now)
    started = move(
        session().scalars(due), S.PLANNING, only=[S.SCHEDULED], where=Broadcast.send_at <= now, started_at=now
    )
    publish(*map(BroadcastStarted, started))
    return started


def resume_broadcast(broadcast_id: int, scope: Scope) -> Broadcast:
    """Go on after a pause: freeze the audience if that had not happened, else send the remaining chunks."""
    found = broadcast_for(broadcast_id, scope)
    target = S.PLANNING if found.frozen_at is None else S.SUBMITTING
    moved = move([broadcast_id], target, only=[S.PAUSED], error=None)
    moved_or_conflict(broadcast_id, moved, "resume", [S.PAUSED])
    publish(BroadcastStarted(broadcast_id))
    return broadcast_for(broadcast_id, scope)
