"""Uploaded files; ids die after three days and are bound to their scene (wecom-api.md §4.16)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Media:
    """One upload. `scene` is None for media/upload, else the attachment_type of upload_attachment."""

    media_id: str
    type: str
    filename: str
    content: bytes
    created: float
    scene: int | None
