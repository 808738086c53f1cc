"""What can happen to media files; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MediaWanted:
    """Files shall be uploaded to WeCom ahead of their use."""

    media_file_ids: tuple[int, ...]
