"""Uploads (wecom-api.md §4.16)."""

from __future__ import annotations

import io
from typing import Any

from werkzeug.formparser import parse_form_data

from scrm.sandbox.api.media_content import is_kind, picture_side, video_seconds, voice_seconds
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
IMAGE_SIZE, VIDEO_SIZE, VOICE_TOO_LONG = 40009, 40011, 45007
ATTACHMENT_SIZE, ATTACHMENT_SIDE, ATTACHMENT_SECONDS = 41080, 41081, 41082
MEGABYTE = 1024 * 1024
LEAST_BYTES = 5  # uploads must be larger than this
LARGEST = {"image": 10 * MEGABYTE, "voice": 2 * MEGABYTE, "video": 10 * MEGABYTE, "file": 20 * MEGABYTE}
IMAGE_LARGEST = 2 * MEGABYTE  # media/uploadimg
VOICE_SECONDS, MOMENT_VIDEO_SECONDS = 60, 30
PICTURE_SIDE = 10_800  # pixels, upload_attachment
ATTACHMENT_TYPES = ("image", "video", "file")
MOMENT, ALBUM = 1, 2
DAY, MONTH = 86_400, 30 * 86_400


@api("media/upload", feature=None, upload=True)
def upload(call: Call) -> Json:
    """A temporary file, shared by the corp's apps for three days."""
    kind = call.query.get("type", "")
    if kind not in LARGEST:
        raise WecomError(BAD_TYPE, "invalid media type")
    filename, content = _file(call)
    check_content(kind, content)
    media = _keep(call, kind, filename, content, None)
    return {"errmsg": "", "type": kind, "media_id": media.media_id, "created_at": str(int(media.created))}


@api("media/upload_attachment", feature="externalcontact", upload=True)
def upload_attachment(call: Call) -> Json:
    """A file for moments (1) or the product album (2); useless elsewhere."""
    kind, scene = call.query.get("media_type", ""), call.query.get("attachment_type", "")
    if kind not in ATTACHMENT_TYPES:
        raise WecomError(BAD_TYPE, "invalid media_type")
    if scene not in {str(MOMENT), str(ALBUM)}:
        raise WecomError(INVALID, "invalid Request Parameter: attachment_type must be 1 or 2")
    filename, content = _file(call)
    _check_attachment(kind, content)
    media = _keep(call, kind, filename, content, int(scene))
    return {"errmsg": "", "type": kind, "media_id": media.media_id, "created_at": int(media.created)}


@api("media/uploadimg", feature=None, upload=True)
def uploadimg(call: Call) -> Json:
    """A permanent picture address for pic_url; quotas a day and a month."""
    _, content = _file(call)
    _check_size(content, IMAGE_LARGEST, IMAGE_SIZE)
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


def check_content(kind: str, content: bytes) -> None:
    """Size, format and length of a temporary file: 40006, 40009, 40011, 45001, 40004, 45007."""
    too_big = {"image": IMAGE_SIZE, "video": VIDEO_SIZE}.get(kind, TOO_BIG)
    _check_size(content, LARGEST[kind], too_big)
    _check_kind(kind, content)
    if kind == "voice" and voice_seconds(content) > VOICE_SECONDS:
        raise WecomError(VOICE_TOO_LONG, f"voice longer than {VOICE_SECONDS} seconds")


def _check_attachment(kind: str, content: bytes) -> None:
    _check_size(content, LARGEST[kind], ATTACHMENT_SIZE)
    _check_kind(kind, content)
    if kind == "image" and picture_side(content) > PICTURE_SIDE:
        raise WecomError(ATTACHMENT_SIDE, f"attachment resolution: at most {PICTURE_SIDE} pixels a side")
    if kind == "video" and video_seconds(content) > MOMENT_VIDEO_SECONDS:
        raise WecomError(ATTACHMENT_SECONDS, f"attachment video longer than {MOMENT_VIDEO_SECONDS} seconds")


def _keep(call: Call, kind: str, filename: str, content: bytes, scene: int | None) -> Media:
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


def _check_size(content: bytes, largest: int, too_big: int) -> None:
    if len(content) <= LEAST_BYTES:
        raise WecomError(BAD_SIZE, "invalid file size: at least 6 bytes")
    if len(content) > largest:
        raise WecomError(too_big, f"media size out of limit: at most {largest} bytes")


def _check_kind(kind: str, content: bytes) -> None:
    if not is_kind(kind, content):
        raise WecomError(BAD_FILE, f"invalid file type for {kind}")
