"""Reading the media library; never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, select

from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Actor
from scrm.media.models import MediaFile, MediaUpload
from scrm.media.service.showing import visible_files
from scrm.media.service.uploading import due
from scrm.wecom.references import Reference


def media_page(actor: Actor, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of the files that an actor may see, newest first; ``query`` may hold ``kind``."""
    wanted = select(MediaFile).where(MediaFile.deleted_at.is_(None), visible_files(actor))
    if "kind" in query:
        wanted = wanted.where(MediaFile.kind == query["kind"])
    return paginate(wanted, MediaFile.id, query)


def media_by_id(actor: Actor, file_id: int) -> MediaFile:
    """One file; raises NotFound, also where the actor may not see it."""
    wanted = select(MediaFile).where(
        MediaFile.id == file_id, MediaFile.deleted_at.is_(None), visible_files(actor)
    )
    file = session().scalar(wanted, execution_options={"populate_existing": True})
    if file is None:
        raise NotFound(f"there is no media file {file_id}, or this key may not see whose it is")
    return file


def uploads_of(file_id: int) -> Sequence[MediaUpload]:
    """What WeCom gave for a file, by use."""
    wanted = select(MediaUpload).where(MediaUpload.media_file_id == file_id).order_by(MediaUpload.use)
    return session().scalars(wanted, execution_options={"populate_existing": True}).all()


def renewals_due() -> bool:
    """Whether an id of a file in use is missing or dies soon; cheap, for the clock."""
    return bool(session().scalar(select(exists().where(due()))))


def renewals(limit: int) -> list[Reference]:
    """Uploads to make now, the most urgent first."""
    wanted = select(MediaUpload.media_file_id, MediaUpload.use).where(due())
    found = session().execute(wanted.order_by(MediaUpload.expires_at.asc().nulls_first()).limit(limit))
    return [Reference(row.media_file_id, row.use.value) for row in found]
