"""The API of the media library."""

from __future__ import annotations

import contextlib
import io
import re
import unicodedata
from typing import Any
from urllib.parse import quote

from flask import Response, request, send_file

from scrm.kernel.db import transaction
from scrm.kernel.errors import NotFound
from scrm.kernel.http import api_blueprint, page_schema
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.media import queries
from scrm.media.models import MediaFile, Use
from scrm.media.schemas import (
    MediaFileDeletion,
    MediaFileDetailOut,
    MediaFileIn,
    MediaFileOut,
    MediaFileQuery,
)
from scrm.media.service.keeping import delete_file
from scrm.media.service.rules import LARGEST, refusal
from scrm.media.service.showing import keep_file_of
from scrm.media.service.store import media_store

FORM_BYTES = 64 * 1024  # what a form adds to its file
blueprint = api_blueprint("media", "素材库 media: files kept once, uploaded to WeCom when they are needed")


@blueprint.before_request
def _allow_files() -> None:
    """Files may be larger than the bodies of other calls."""
    request.max_content_length = LARGEST + FORM_BYTES


@blueprint.route("/media", methods=["POST"])
@needs(Permission.MEDIA_WRITE)
@blueprint.arguments(MediaFileIn, location="files")
@blueprint.response(201, MediaFileOut)
def add_media(data: dict[str, Any]) -> MediaFile:
    """Keep a file; the same content again gives the same row."""
    with contextlib.closing(data["file"]) as upload, transaction():
        return keep_file_of(current_actor(), upload.filename or "", upload.read())


@blueprint.route("/media")
@needs(Permission.MEDIA_READ)
@blueprint.arguments(MediaFileQuery, location="query")
@blueprint.response(200, page_schema(MediaFileOut))
def list_media(query: dict[str, Any]) -> dict[str, Any]:
    """Files, newest first. One that fields of people name is seen by keys that see such a field of such a person."""
    return queries.media_page(current_actor(), query)


@blueprint.route("/media/<int:media_id>")
@needs(Permission.MEDIA_READ)
@blueprint.response(200, MediaFileDetailOut)
def show_media(media_id: int) -> dict[str, Any]:
    """One file, what WeCom holds of it, and where it cannot be used."""
    file = queries.media_by_id(current_actor(), media_id)
    refused = {use.value: refusal(file.kind, file.size, file.seconds, use) for use in Use}
    return {
        **{name: getattr(file, name) for name in MediaFileOut().fields},
        "uploads": queries.uploads_of(media_id),
        "refused_uses": {use: why for use, why in refused.items() if why},
    }


@blueprint.route("/media/<int:media_id>/content")
@needs(Permission.MEDIA_READ)
@blueprint.response(200, content_type="application/octet-stream")
def media_content(media_id: int) -> Response:
    """The bytes, as a download: a browser never shows what somebody uploaded as a page of ours."""
    file = queries.media_by_id(current_actor(), media_id)
    try:
        content = media_store().get(file.sha256)
    except FileNotFoundError:
        raise NotFound(f"the content of media file {media_id} is gone from the media store") from None
    answer = send_file(
        io.BytesIO(content), mimetype=file.content_type, as_attachment=True, download_name=file.filename
    )
    if not file.filename.isascii():
        answer.headers.set("Content-Disposition", "attachment", **_both_names(file.filename))
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _both_names(name: str) -> dict[str, str]:
    """The name itself (RFC 5987), and what of it is ASCII for programs that read no other: ``合同.pdf`` is file.pdf."""
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    plain = _ascii(stem) or "file"
    return {
        "filename": f"{plain}.{_ascii(suffix)}" if dot and _ascii(suffix) else plain,
        "filename*": f"UTF-8''{quote(name, safe='')}",
    }


def _ascii(text: str) -> str:
    """Letters, digits, ``-``, ``_``, dots and spaces inside; é becomes e, 合 nothing."""
    base = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9 ._-]", "", base).strip(" ._-")


@blueprint.route("/media/<int:media_id>", methods=["DELETE"])
@needs(Permission.MEDIA_WRITE)
@blueprint.arguments(MediaFileDeletion, location="query")
@blueprint.response(204)
def delete_media(query: dict[str, bool], media_id: int) -> None:
    """Take a file out of the library; one that messages or fields of people name only with ``force=true``."""
    with transaction():
        queries.media_by_id(current_actor(), media_id)
        delete_file(media_id, current_actor(), used_too=query["force"])
