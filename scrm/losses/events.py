"""What can happen to losses; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LossesChanged:
    """Losses became known, or turned out other than they had seemed: alerts and alarms have to be considered."""
