"""How much is generated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date

REVISION = 1
"""Raised when the same seed makes other rows: benchmarks that keep data make it again."""


@dataclass(frozen=True)
class Size:
    """What somebody asked for.

    :param tags: of each customer
    :param until: last day of the data
    :param timeline: whether customers get their timelines
    """

    customers: int
    events: int
    orders: int
    tags: int
    seed: int
    until: date
    timeline: bool = False

    @property
    def staff(self) -> int:
        """Members: one for 2,000 customers, at least 5."""
        return max(5, self.customers // 2000)

    @property
    def products(self) -> int:
        """Products: one for 200 orders, 50 to 20,000."""
        return min(20_000, max(50, self.orders // 200))

    def chooser(self, part: str) -> random.Random:
        """The random numbers of one part, so that parts do not depend on each other."""
        return random.Random(f"{self.seed}:{part}")
