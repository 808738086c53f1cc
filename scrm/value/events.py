"""What can happen to the value of persons; told once per batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ValueChanged:
    """RFM scores or the figures behind them changed of these persons, or their stage did; or they are gone from both.

    That a day has passed since the last order is not told, only the scores and stages that follow from it: who asks for
    the days since then works them out (the leaf ``rfm`` knows when its answer changes by time alone).

    :param person_ids: sorted, at most 10,000
    """

    person_ids: tuple[int, ...]
