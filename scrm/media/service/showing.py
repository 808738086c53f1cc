"""Whom a file is shown to: what fields of people name is no more public than those fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, true

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Actor
from scrm.media.models import MediaFile, MediaUpload
from scrm.media.registry import veils_for
from scrm.media.service.keeping import keep_file
from scrm.wecom.references import named_in


def visible_files(actor: Actor) -> ColumnElement[bool]:
    """The clause that limits a select of files to those an actor may see.

    A file that others name for themselves alone (``scrm.media.registry``: fields of people) is seen by those who may
    see it there. It is everybody's who reads the library once it went into a message, a welcome or a code (it has a
    row of ``media_uploads``), and it is shown to the key that put the content in: that one has it anyway.
    """
    veils = veils_for(actor, MediaFile.id)
    if not veils:
        return true()
    used = exists(select(MediaUpload.use).where(MediaUpload.media_file_id == MediaFile.id))
    return or_(MediaFile.made_by == actor.name, used, and_(*veils))


def hidden_among(actor: Actor, file_ids: Iterable[int]) -> set[int]:
    """Those of these files that exist and are hidden from an actor."""
    ids = set(file_ids)
    if not ids:
        return set()
    return set(session().scalars(select(MediaFile.id).where(MediaFile.id.in_(ids), ~visible_files(actor))))


def keep_file_of(actor: Actor, filename: str, content: bytes) -> MediaFile:
    """Keep a file that an actor puts in, who sees it from then on: content that fields of people hid from them is theirs.

    :raises InvalidInput: as :func:`scrm.media.service.keeping.keep_file`
    """
    file = keep_file(filename, content, actor.name)
    if hidden_among(actor, [file.id]):
        file.made_by = actor.name
        session().flush()
    return file


def check_shown(actor: Actor, parts: Iterable[Any], field: str = "attachments") -> None:
    """Check that what message parts name is shown to an actor: whoever guesses a number shall not send its file.

    :raises InvalidInput: by place, in the words of files that do not exist
    """
    places = [
        (reference.library_id, f"{field}.{i}") for i, part in enumerate(parts) for reference in named_in(part)
    ]
    hidden = hidden_among(actor, [file_id for file_id, _ in places])
    problems = {place: f"there is no media file {file_id}" for file_id, place in places if file_id in hidden}
    if problems:
        raise InvalidInput("a file cannot be used where it is named", fields=problems)
