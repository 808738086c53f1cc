"""What can happen to imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImportWanted:
    """An import has work to do: to be read, tried, run or undone."""

    import_id: int
