"""Uploaded files; ids die after three days and are bound to their scene (wecom-api.md §4.16)."""

from __future__ import annotations

from dataclasses import dataclass

SCENE_BY_URL = 0  # media/upload_by_url; 1 moments and 2 product album are the scenes of upload_attachment
RUNNING, DONE, FAILED = 1, 2, 3


@dataclass(slots=True, eq=False)
class Media:
    """One upload. `scene` is None for media/upload: good for every message."""

    media_id: str
    type: str
    filename: str
    content: bytes
    created: float
    scene: int | None


@dataclass(slots=True, eq=False)
class UploadJob:
    """One media/upload_by_url; `errcode` and `media_id` say how it ended."""

    jobid: str
    app: str
    type: str
    filename: str
    url: str
    md5: str
    created: float
    status: int = RUNNING
    errcode: int = 0
    media_id: str = ""
