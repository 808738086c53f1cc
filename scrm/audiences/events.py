"""What can happen to audiences; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class AudienceMembersChanged:
    """These customers came onto a static list, or went."""

    audience_id: int
    customer_ids: tuple[int, ...]


@dataclass(frozen=True)
class AudienceFilled:
    """Many customers came onto a static list at once: those whose ``added_at`` is ``at``."""

    audience_id: int
    at: datetime


@dataclass(frozen=True)
class ExportWanted:
    """An export waits to be written, or its file to be removed."""

    export_id: int


@dataclass(frozen=True)
class AudienceFillWanted:
    """Many customers wait to be put on a list."""

    fill_id: int
