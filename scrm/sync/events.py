"""What can happen to a sync; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyncWanted:
    """A run has something to do."""

    run_id: int


@dataclass(frozen=True)
class RulesOwed:
    """Customers changed by a sync stand on the to-do list of the rules."""
