"""What can happen at the doors of groups; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupsPutBehindCode:
    """Groups were put behind a group code, by a person or because WeCom made them."""

    group_code_id: int
    group_ids: tuple[int, ...]


@dataclass(frozen=True)
class PicturesWanted:
    """WeCom made join ways and did not yet tell the addresses of their pictures."""
