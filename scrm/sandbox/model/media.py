"""Uploaded files; ids die after three days and are bound to their scene (wecom-api.md §4.16)."""

from __future__ import annotations

from dataclasses import dataclass

SCENE_BY_URL = 0  # media/upload_by_url; 1 moments and 2 product album are the scenes of upload_attachment


@dataclass(slots=True, eq=False)
class Media:
    """One upload. `scene` is None for media/upload: good for every message."""

    media_id: str
    type: str
    filename: str
    content: bytes
    created: float
    scene: int | None
