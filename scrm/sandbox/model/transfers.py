"""Customers and groups passing from one member to another (wecom-api.md §4.12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

DONE, WAITING, REFUSED, OVER_LIMIT, NO_RECORD = 1, 2, 3, 4, 5


@dataclass(slots=True, eq=False)
class Transfer:
    """One customer on the way. `ends` = when it happens by itself while waiting, later when it ended."""

    handover: str
    takeover: str
    external_userid: str
    resigned: bool
    created: float
    ends: float
    message: str | None = None
    status: int = WAITING


@dataclass(slots=True, eq=False)
class Transfers:
    """All of them: the newest per (handover, takeover) and customer; who is on the way; what counts towards caps."""

    pairs: dict[tuple[str, str], dict[str, Transfer]] = field(default_factory=dict)
    under_way: dict[str, Transfer] = field(default_factory=dict)  # by external_userid
    completed: dict[str, list[float]] = field(default_factory=dict)  # on-job ones of a customer
    group_completed: dict[str, list[float]] = field(default_factory=dict)  # on-job ones of a chat_id
    group_days: Counter[tuple[str, str, int]] = field(default_factory=Counter)  # (old, new owner, day)
