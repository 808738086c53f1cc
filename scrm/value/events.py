"""What can happen to the value of persons; told once per batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ValueChanged:
    """RFM scores, frequency or money of these persons changed, or their stage did; or they are gone from both.

    That a day has passed since the last order is not told by itself, only the scores and stages that follow from it.

    :param person_ids: sorted, at most 10,000
    """

    person_ids: tuple[int, ...]
