"""Uploading to WeCom: on demand when a message is about to leave, and ahead of time for what is in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from obstore.exceptions import BaseError
from sqlalchemy import and_, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.media.events import MediaWanted
from scrm.media.models import MediaFile, MediaUpload, Use
from scrm.media.service.keeping import check_uses
from scrm.media.service.store import MediaStore
from scrm.wecom.client import Client
from scrm.wecom.errors import Denied, NotFound, Retryable, Stop, Unclear, WecomError
from scrm.wecom.references import Reference, named_in

LIFE = timedelta(days=3)  # of a media_id (wecom-api.md section 4.16)
SPARE = timedelta(minutes=10)  # an id that dies sooner is not used any more
BACKOFF_BASE, BACKOFF_MAX = 60, 6 * 3600  # seconds between failed renewals
STORE = "media store"  # stands for the API in errors of our own store
MOMENT, ALBUM = 1, 2  # attachment_type of media/upload_attachment
ATTACHMENTS = {
    Use.MOMENT_IMAGE: ("image", MOMENT),
    Use.MOMENT_VIDEO: ("video", MOMENT),
    Use.ALBUM_IMAGE: ("image", ALBUM),
}


@dataclass(frozen=True)
class Stored:
    """A file to be uploaded."""

    id: int
    use: Use
    sha256: str
    filename: str


def keep_ready(messages: Iterable[Any], field: str = "attachments") -> None:
    """Check the files that message parts name, and have WeCom's ids for them made now and renewed while in use.

    :param messages: attachments, or any part of a payload that may name files
    :raises InvalidInput: a file does not exist or WeCom would not take it there
    """
    parts = list(messages)
    wanted = [(reference, f"{field}.{i}") for i, part in enumerate(parts) for reference in named_in(part)]
    check_uses((reference.library_id, Use(reference.use), place) for reference, place in wanted)
    want([reference for reference, _ in wanted])


def want(references: Sequence[Reference]) -> None:
    """Keep WeCom's ids of these files alive for ``[media] keep_days`` from now; files that are gone are left out."""
    there = _held(references)
    until = utcnow() + timedelta(days=settings().media.keep_days)
    rows = [
        {"media_file_id": r.library_id, "use": Use(r.use), "keep_until": until}
        for r in sorted(set(references))
        if r.library_id in there
    ]
    if not rows:
        return
    adding = insert(MediaUpload)
    adding = adding.on_conflict_do_update(
        index_elements=["media_file_id", "use"],
        set_={"keep_until": adding.excluded.keep_until},
        where=MediaUpload.keep_until < adding.excluded.keep_until - timedelta(hours=1),
    )
    session().execute(adding, rows)
    publish(MediaWanted(tuple(sorted(there))))


def _held(references: Sequence[Reference]) -> set[int]:
    """The files of the library among these, held against removal until the transaction ends."""
    if not references:
        return set()
    ids = {r.library_id for r in references}
    found = select(MediaFile.id).where(MediaFile.id.in_(ids), MediaFile.deleted_at.is_(None))
    return set(session().scalars(found.order_by(MediaFile.id).with_for_update(read=True, key_share=True)))


def living_ids(references: Sequence[Reference]) -> dict[Reference, str]:
    """WeCom's ids that may still be used, by file and use."""
    keys = [(r.library_id, Use(r.use)) for r in references]
    alive = or_(MediaUpload.expires_at.is_(None), MediaUpload.expires_at > utcnow() + SPARE)
    found = select(MediaUpload.media_file_id, MediaUpload.use, MediaUpload.media_id).join(
        MediaFile, MediaFile.id == MediaUpload.media_file_id
    )
    found = found.where(
        tuple_(MediaUpload.media_file_id, MediaUpload.use).in_(keys),
        MediaUpload.media_id.is_not(None),
        MediaFile.deleted_at.is_(None),
        alive,
    )
    return {Reference(row.media_file_id, row.use.value): row.media_id for row in session().execute(found)}


def stored(references: Sequence[Reference]) -> list[Stored]:
    """The files behind references; those that were deleted are missing."""
    ids = {r.library_id for r in references}
    found = session().execute(
        select(MediaFile.id, MediaFile.sha256, MediaFile.filename).where(
            MediaFile.id.in_(ids), MediaFile.deleted_at.is_(None)
        )
    )
    files = {row.id: row for row in found}
    return [
        Stored(r.library_id, Use(r.use), files[r.library_id].sha256, files[r.library_id].filename)
        for r in references
        if r.library_id in files
    ]


def upload(client: Client, file: Stored, content: bytes) -> str:
    """Upload one file by the API of its use; WeCom's id, or the address for PICTURE_URL. No database.

    :raises WecomError: never Unclear: a lost answer only means one id more at WeCom
    """
    problem: WecomError
    try:
        if file.use is Use.PICTURE_URL:
            return str(client.upload("uploadimg", file.filename, content)["url"])
        if file.use in ATTACHMENTS:
            kind, scene = ATTACHMENTS[file.use]
            answer = client.upload_attachment(kind, scene, file.filename, content)
        else:
            answer = client.upload(file.use.value, file.filename, content)
        return str(answer["media_id"])
    except Unclear as error:
        problem = Retryable(error.api, None, f"the file could not be uploaded: {error.errmsg}")
    except (Denied, Stop, NotFound) as error:
        problem = Stop(error.api, error.errcode, f"the file {file.id} was refused: {error.errmsg}")
    raise problem


def upload_stored(store: MediaStore, client: Client, file: Stored) -> str:
    """Read a file's content and upload it; for threads.

    :raises WecomError: as :func:`upload`; Retryable when our own store cannot be read now, Stop when the content is gone
    """
    problem: WecomError
    try:
        content = store.get(file.sha256)
    except FileNotFoundError:
        problem = Stop(STORE, None, f"the content of media file {file.id} is gone from the media store")
    except (BaseError, OSError) as error:
        problem = Retryable(STORE, None, f"the media store cannot be read ({type(error).__name__})")
    else:
        return upload(client, file, content)
    raise problem


def note_uploaded(file: Stored, media_id: str, at: datetime) -> None:
    """Write down what WeCom gave; the newest wins."""
    until = at + timedelta(days=settings().media.keep_days)
    values = {
        "media_file_id": file.id,
        "use": file.use,
        "media_id": media_id,
        "uploaded_at": at,
        "expires_at": None if file.use is Use.PICTURE_URL else at + LIFE,
        "error": None,
        "next_at": None,
        "attempts": 0,
    }
    adding = insert(MediaUpload).values(**values, keep_until=until)
    newer = or_(MediaUpload.uploaded_at.is_(None), MediaUpload.uploaded_at <= at)
    session().execute(
        adding.on_conflict_do_update(index_elements=["media_file_id", "use"], set_=values, where=newer)
    )


def note_failed(failures: Mapping[Stored, WecomError], at: datetime) -> None:
    """Keep why uploads failed and try again later, later each time."""
    rows = [
        {"id": file.id, "use": file.use, "error": f"{error.errcode or '-'}: {error.kind}"}
        for file, error in sorted(failures.items(), key=lambda pair: (pair[0].id, pair[0].use))
    ]
    values = {"rows": orjson.dumps(rows).decode(), "at": at, "base": BACKOFF_BASE, "most": BACKOFF_MAX}
    session().execute(_NOTE_FAILED, values)


_NOTE_FAILED = text("""
UPDATE media_uploads u SET error = r.error, attempts = u.attempts + 1,
  next_at = CAST(:at AS timestamptz) + make_interval(secs =>
    LEAST(CAST(:most AS float), :base * power(2.0, LEAST(u.attempts, 20))))
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, use text, error text)
WHERE u.media_file_id = r.id AND u.use = r.use
""")


def forget(references: Sequence[Reference]) -> None:
    """WeCom refused these ids: they are dead, whatever we believed."""
    keys = [(r.library_id, Use(r.use)) for r in references]
    session().execute(
        update(MediaUpload)
        .where(tuple_(MediaUpload.media_file_id, MediaUpload.use).in_(keys))
        .values(media_id=None, expires_at=None)
        .execution_options(synchronize_session=False)
    )


def due() -> Any:
    """The clause of uploads to make now: in use, without an id or with one that dies soon, and not resting."""
    now = utcnow()
    soon = now + LIFE - timedelta(hours=settings().media.renew_hours)
    stale = or_(MediaUpload.media_id.is_(None), MediaUpload.expires_at < soon)
    rested = or_(MediaUpload.next_at.is_(None), MediaUpload.next_at <= now)
    alive = select(MediaFile.id).where(MediaFile.deleted_at.is_(None))
    return and_(MediaUpload.keep_until > now, stale, rested, MediaUpload.media_file_id.in_(alive))
