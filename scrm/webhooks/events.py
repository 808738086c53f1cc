"""What can happen to outgoing webhooks; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeliveriesWanted:
    """Deliveries wait to be sent."""
