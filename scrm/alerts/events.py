"""What can happen to alerts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UrgentAlerts:
    """Somebody has to be told at once; the clock finds all others when they are due."""
