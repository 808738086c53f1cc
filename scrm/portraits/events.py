"""What can happen to computed traits; told once per batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TraitsChanged:
    """Values of these traits changed, came or went for these persons.

    :param person_ids: sorted, at most 10,000
    """

    person_ids: tuple[int, ...]
    trait_ids: tuple[int, ...]
