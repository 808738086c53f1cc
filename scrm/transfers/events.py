"""What can happen to transfers; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanStarted:
    """A plan became active, or goes on: its items are asked for."""

    plan_id: int


@dataclass(frozen=True)
class PlanFinished:
    """Every item's fate is final."""

    plan_id: int


@dataclass(frozen=True)
class ItemsSettled:
    """Items of a plan reached a fate, or are planned again for another receiver."""

    plan_id: int
    item_ids: tuple[int, ...]


@dataclass(frozen=True)
class WatchesWanted:
    """WeCom is to be asked what became of transfers."""


@dataclass(frozen=True)
class CustomersHandedOver:
    """Customers went over; the relations, and with ``copy_tags`` their tags, are to be brought up to date."""
