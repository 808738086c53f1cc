"""Finishing: a broadcast ends when no chunk is open any more."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import exists, update

from scrm.broadcasts.events import BroadcastFinished
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastState
from scrm.broadcasts.queries.bulk import change
from scrm.broadcasts.service.states import move
from scrm.kernel.clock import utcnow
from scrm.kernel.events import publish


def finish_broadcasts(ids: Iterable[int]) -> list[int]:
    """Finish those whose chunks are all closed: OPEN becomes FINISHED, a cancelled one keeps its state."""
    wanted, now = sorted(set(ids)), utcnow()
    if not wanted:
        return []
    no_open_chunk = ~exists().where(
        BroadcastChunk.broadcast_id == Broadcast.id, BroadcastChunk.closed_at.is_(None)
    )
    finished = move(wanted, BroadcastState.FINISHED, where=no_open_chunk, finished_at=now)
    stopped = (
        update(Broadcast)
        .where(
            Broadcast.id.in_(wanted),
            Broadcast.state == BroadcastState.CANCELLED,
            Broadcast.finished_at.is_(None),
            no_open_chunk,
        )
        .values(finished_at=now)
        .returning(Broadcast.id)
    )
    done = sorted([*finished, *change(stopped).scalars()])
    publish(*map(BroadcastFinished, done))
    return done
