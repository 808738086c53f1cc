"""What can happen to customer groups; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class GroupChanged:
    """A group was founded, renamed, changed owner or notice, or was dismissed."""

    group_id: int
    change: str  # founded | name | owner | notice | dismissed
    at: datetime


@dataclass(frozen=True)
class GroupJoined:
    """Somebody came into a group; ``customer_id`` only when they are a known customer."""

    group_id: int
    stay_id: int
    customer_id: int | None
    at: datetime


@dataclass(frozen=True)
class GroupLeft:
    """Somebody left a group or was removed."""

    group_id: int
    stay_id: int
    customer_id: int | None
    at: datetime


@dataclass(frozen=True)
class JoinWayKnown:
    """Through which join way somebody came became known after their join was told: callbacks do not say it."""

    group_id: int
    stay_id: int
    customer_id: int | None
    state: str
