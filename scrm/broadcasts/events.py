"""What can happen to broadcasts; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class BroadcastStarted:
    """A broadcast left draft or schedule, or goes on after a pause: the audience is frozen, chunks go to WeCom."""

    broadcast_id: int


@dataclass(frozen=True)
class BroadcastFrozen:
    """Who receives it and from whom is fixed."""

    broadcast_id: int


@dataclass(frozen=True)
class ChunksSettled:
    """WeCom answered for chunks: accepted or refused, or a stopped one."""

    broadcast_id: int
    chunk_ids: tuple[int, ...]


@dataclass(frozen=True)
class BroadcastDelivered:
    """WeCom reported that customers received a broadcast from one member: (customer id, when) each."""

    broadcast_id: int
    staff_id: int
    customers: tuple[tuple[int, datetime], ...]


@dataclass(frozen=True)
class BroadcastFinished:
    """Every recipient's fate is final."""

    broadcast_id: int


@dataclass(frozen=True)
class BroadcastCancelled:
    """Somebody stopped a broadcast; what WeCom already has is being stopped there."""

    broadcast_id: int
