"""Uploads (wecom-api.md §4.16)."""

from __future__ import annotations

import io
from typing import Any

from werkzeug.formparser import parse_form_data

from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.media import Media

BAD_FILE, BAD_TYPE, BAD_SIZE, TOO_BIG, EMPTY_MEDIA, BAD_MEDIA, NO_MEDIA_ID = (
    40004,
    40005,
    40006,
    45001,
    44001,
    40007,
    41006,
)
RATE_LIMITED, INVALID = 45009, 40058
MEGABYTE = 1024 * 1024
LEAST_BYTES = 5  # uploads must be larger than this
LARGEST = {"image": 10 * MEGABYTE, "voice": 2 * MEGABYTE, "video": 10 * MEGABYTE, "file": 20 * MEGABYTE}
IMAGE_LARGEST = 2 * MEGABYTE  # media/uploadimg
JPG, PNG, AMR = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"#!AMR"
MP4_MARK = b"ftyp"
ATTACHMENT_TYPES = ("image", "video", "file")
MOMENT, ALBUM = 1, 2
DAY, MONTH = 86_400, 30 * 86_400


@api("media/upload", feature=None, upload=True)
def upload(call: Call) -> Json:
    """A temporary file, shared by the corp's apps for three days."""
    kind = call.query.get("type", "")
    if kind not in LARGEST:
        raise WecomError(BAD_TYPE, "invalid media type")
    media = _keep(call, kind, None)
    return {"errmsg": "", "type": kind, "media_id": media.media_id, "created_at": str(int(media.created))}


@api("media/upload_attachment", feature="externalcontact", upload=True)
def upload_attachment(call: Call) -> Json:
    """A file for moments (1) or the product album (2); useless elsewhere."""
    kind, scene = call.query.get("media_type", ""), call.query.get("attachment_type", "")
    if kind not in ATTACHMENT_TYPES:
        raise WecomError(BAD_TYPE, "invalid media_type")
    if scene not in {str(MOMENT), str(ALBUM)}:
        raise WecomError(INVALID, "invalid Request Parameter: attachment_type must be 1 or 2")
    media = _keep(call, kind, int(scene))
    return {"errmsg": "", "type": kind, "media_id": media.media_id, "created_at": int(media.created)}


@api("media/uploadimg", feature=None, upload=True)
def uploadimg(call: Call) -> Json:
    """A permanent picture address for pic_url; quotas a day and a month."""
    _, content = _file(call)
    _check_size(content, IMAGE_LARGEST)
    _check_kind("image", content)
    limits = call.world.limits
    for seconds, limit in ((DAY, limits.uploadimg_day), (MONTH, limits.uploadimg_month)):
        if limit and not call.sandbox.limits.take_from("corp", "media/uploadimg", seconds, limit):
            raise WecomError(RATE_LIMITED, "api freq out of limit")
    url = f"https://wework.qpic.invalid/{call.world.ids.opaque('img', 20)}/0"
    call.world.images[url] = call.world.clock.now()
    return {"errmsg": "", "url": url}


@api("media/get", "GET", feature=None)
def get(call: Call) -> Json:
    """The bytes of a live upload."""
    media_id = call.query.get("media_id")
    if not media_id:
        raise WecomError(NO_MEDIA_ID, "missing media_id")
    media = call.world.media.get(media_id)
    if media is None or call.world.clock.now() - media.created >= call.world.limits.media_seconds:
        raise WecomError(BAD_MEDIA, "invalid media_id")
    return {"_bytes": media.content, "_type": "application/octet-stream"}


def _keep(call: Call, kind: str, scene: int | None) -> Media:
    filename, content = _file(call)
    _check_size(content, LARGEST[kind])
    _check_kind(kind, content)
    world = call.world
    media = Media(world.ids.opaque("", 64), kind, filename, content, world.clock.now(), scene)
    world.media[media.media_id] = media
    return media


def _file(call: Call) -> tuple[str, bytes]:
    """The multipart part `media` with a filename: 44001 when there is none."""
    environ: dict[str, Any] = {**call.environ, "wsgi.input": io.BytesIO(call.raw)}
    _, _, files = parse_form_data(environ)
    found = files.get("media")
    if found is None:
        raise WecomError(EMPTY_MEDIA, "empty media data")
    return found.filename or "media", found.read()


def _check_size(content: bytes, largest: int) -> None:
    if len(content) <= LEAST_BYTES:
        raise WecomError(BAD_SIZE, "invalid file size: at least 6 bytes")
    if len(content) > largest:
        raise WecomError(TOO_BIG, f"media size out of limit: at most {largest} bytes")


def _check_kind(kind: str, content: bytes) -> None:
    right = {
        "image": content.startswith((JPG, PNG)),
        "voice": content.startswith(AMR),
        "video": content[4:8] == MP4_MARK,
        "file": True,
    }[kind]
    if not right:
        raise WecomError(BAD_FILE, f"invalid file type for {kind}")
