"""What can happen around gaining customers; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NameWanted:
    """A welcome names its customer, whose name we do not know yet: WeCom must be asked, quickly."""

    welcome_id: int
