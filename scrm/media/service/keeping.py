"""Keeping files: content is checked and stored once, by its digest, under whatever names it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.locks import hold_in_transaction, share_in_transaction
from scrm.kernel.permissions import Actor
from scrm.media.models import MediaFile, MediaUpload, Use
from scrm.media.registry import named_by
from scrm.media.service.rules import (
    LARGEST,
    LEAST_BYTES,
    content_type_of,
    kind_of,
    refusal,
    voice_seconds,
)
from scrm.media.service.store import media_store

NAME_LENGTH = 128
CLEANING = "media.forget"
KEPT_AFTER_DELETION = timedelta(days=1)  # a message that is leaving now may still need the content


def keep_file(filename: str, content: bytes, made_by: str) -> MediaFile:
    """Keep a file. One that is there already, with this name and content, is the same; one that was deleted comes back.

    The same content under another name is another file: what a value of a person or a message names is called as it was
    when it was named, and nobody learns what others called it.

    :raises InvalidInput: empty, too large for every use, or without a name
    """
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip()[-NAME_LENGTH:]
    if not name or not name.isprintable():
        raise InvalidInput.field("file", "needs a file name of printable characters")
    if not LEAST_BYTES <= len(content) <= LARGEST:
        raise InvalidInput.field(
            "file", f"is {len(content)} bytes large; WeCom takes {LEAST_BYTES} to {LARGEST}"
        )
    digest = hashlib.sha256(content).hexdigest()
    share_in_transaction(CLEANING)  # what is kept now is not removed as forgotten a moment later
    media_store().put(digest, content)  # before the row: content without a row harms nobody
    values = {
        "sha256": digest,
        "kind": kind_of(content),
        "filename": name,
        "content_type": content_type_of(content),
        "size": len(content),
        "seconds": voice_seconds(content),
        "made_by": made_by,
    }
    adding = insert(MediaFile).values(values)
    adding = adding.on_conflict_do_update(index_elements=["sha256", "filename"], set_={"deleted_at": None})
    kept = session().scalars(adding.returning(MediaFile), execution_options={"populate_existing": True})
    return kept.one()


def delete_file(file_id: int, actor: Actor | None = None, *, used_too: bool = False) -> None:
    """Take a file out of the library; its content is removed a day later.

    :param actor: who wants it, and is told by whom it is named as far as they may know; None: the program itself
    :param used_too: also when messages named it lately, who will fail with that reason or go out without it, and
        when others name it for good (``scrm.media.registry``)
    :raises NotFound: when there is none
    :raises Conflict: when it is in use and ``used_too`` is not said
    """
    file = session().get(MediaFile, file_id, with_for_update=True, populate_existing=True)
    if file is None or file.deleted_at:
        raise NotFound(f"there is no media file {file_id}")
    used = select(func.max(MediaUpload.keep_until)).where(MediaUpload.media_file_id == file_id)
    until = session().scalar(used)
    if until and until > utcnow() and not used_too:
        raise Conflict(
            f"media file {file_id} is named by messages (in use until {until:%Y-%m-%d}); "
            "take it out of them, or say force=true"
        )
    if not used_too and (user := named_by(file_id, actor)):
        raise Conflict(f"media file {file_id} is named by {user}; take it out there, or say force=true")
    file.deleted_at = utcnow()
    session().flush()


def remove_forgotten(limit: int) -> int:
    """Remove content and rows of files deleted a day ago, at most ``limit``; how many there were."""
    hold_in_transaction(CLEANING)
    old = select(MediaFile.id).where(MediaFile.deleted_at < utcnow() - KEPT_AFTER_DELETION).limit(limit)
    gone = session().scalars(delete(MediaFile).where(MediaFile.id.in_(old)).returning(MediaFile.sha256)).all()
    for digest in set(gone) - _still_named(gone):
        media_store().remove(digest)
    return len(gone)


def _still_named(digests: Iterable[str]) -> set[str]:
    """Contents that other files are made of too."""
    return set(session().scalars(select(MediaFile.sha256).where(MediaFile.sha256.in_(list(digests)))))


def check_uses(wanted: Iterable[tuple[int, Use, str]]) -> None:
    """Check that files exist and that WeCom takes them where they shall go.

    :param wanted: (file id, use, name of the field that names the file)
    :raises InvalidInput: naming every field that is wrong, and why
    """
    asked = list(wanted)
    if not asked:
        return
    ids = {file_id for file_id, _, _ in asked}
    found = {
        file.id: file
        for file in session().scalars(
            select(MediaFile).where(MediaFile.id.in_(ids), MediaFile.deleted_at.is_(None))
        )
    }
    problems = {}
    for file_id, use, field in asked:
        file = found.get(file_id)
        problem = (
            f"there is no media file {file_id}"
            if file is None
            else refusal(file.kind, file.size, file.seconds, use)
        )
        if problem:
            problems[field] = problem
    if problems:
        raise InvalidInput("a file cannot be used where it is named", fields=problems)
