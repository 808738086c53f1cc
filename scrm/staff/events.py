"""What can happen to members of staff; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StaffFound:
    """Members were named for the first time; nothing but their userid is known, or what is known is doubtful."""

    staff_ids: tuple[int, ...]


@dataclass(frozen=True)
class StaffMerged:
    """A userid changed to one that had already been heard of: everything of ``gone_id`` belongs to ``kept_id``."""

    kept_id: int
    gone_id: int


@dataclass(frozen=True)
class FollowUsersFound:
    """Members turned out to serve customers (they have WeCom's customer-contact feature)."""

    staff_ids: tuple[int, ...]
