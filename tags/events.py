"""What can happen to tags; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TagsChanged:
    """The tags a customer has changed (in our eyes; WeCom may still have to accept)."""

    customer_id: int
    added: tuple[int, ...]
    removed: tuple[int, ...]
    source: str
