"""Text and attachments of welcome messages and mass sends, checked alike (wecom-api.md §4.5, §4.9)."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.api.fields import invalid, record, required, text
from scrm.sandbox.api.registry import Call, Json
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.media import SCENE_BY_URL

TEXT_BYTES = 4_000
MAX_ATTACHMENTS = 9
TOO_MANY, BAD_TYPE, BAD_MEDIA, EMPTY, WRONG_SCENE = 41064, 41065, 40007, 40063, 41072
LINK_TITLE, LINK_DESC, LINK_URL, MINI_TITLE = 128, 512, 2_048, 64
TYPES = ("image", "link", "miniprogram", "video", "file")


def checked_message(call: Call) -> tuple[Json | None, list[Json]]:
    """Return (text, attachments) as given; WecomError on the first thing wrong or when both are empty."""
    body = call.body
    content = check_text(body, TEXT_BYTES)
    attachments = body.get("attachments") or []
    if not isinstance(attachments, list):
        raise invalid("attachments", "must be a list")
    if len(attachments) > MAX_ATTACHMENTS:
        raise WecomError(TOO_MANY, f"attachments exceed {MAX_ATTACHMENTS}")
    for item in attachments:
        _check(call, item)
    if not content and not attachments:
        raise WecomError(EMPTY, "text and attachments are both empty")
    return ({"content": content} if content else None), attachments


def check_text(body: Json, most_bytes: int) -> str | None:
    """The content of `text`, None when there is none."""
    message = record(body, "text")
    return text(message, "content", max_bytes=most_bytes) if message else None


def check_media(call: Call, media_id: str, kind: str, by_url: bool = False) -> None:
    """40007 unless the id came from media/upload as that type and lives; 41072 for one of another scene.

    Ids of media/upload_by_url are good for group welcome templates only (`by_url`).
    """
    media = call.world.media.get(media_id)
    if media is None or media.type != kind:
        raise WecomError(BAD_MEDIA, "invalid media_id")
    if media.scene is not None and not (by_url and media.scene == SCENE_BY_URL):
        raise WecomError(WRONG_SCENE, "media_id of another scene")
    if call.world.clock.now() - media.created >= call.world.limits.media_seconds:
        raise WecomError(BAD_MEDIA, "invalid media_id: expired")


def _check(call: Call, item: Any) -> None:
    kind = item.get("msgtype") if isinstance(item, dict) else None
    if kind not in TYPES:
        raise WecomError(BAD_TYPE, "invalid attachment type")
    part = record(item, kind)
    if part is None:
        raise invalid(f"attachments.{kind}", "is missing")
    check_part(call, kind, part)


def check_part(call: Call, kind: str, part: Json, by_url: bool = False) -> None:
    """The fields of one attachment; WecomError on the first thing wrong."""
    if kind == "link":
        _check_link(part)
    elif kind == "miniprogram":
        _check_miniprogram(call, part)
    elif kind == "image":
        _check_image(call, part)
    else:
        check_media(call, required(part, "media_id", BAD_MEDIA), kind, by_url)


def _check_link(part: Json) -> None:
    required(part, "title", max_bytes=LINK_TITLE)
    required(part, "url", max_bytes=LINK_URL)
    text(part, "desc", max_bytes=LINK_DESC)
    text(part, "picurl", max_bytes=LINK_URL)


def _check_miniprogram(call: Call, part: Json) -> None:
    required(part, "title", max_bytes=MINI_TITLE)
    required(part, "appid")
    required(part, "page")
    check_media(call, required(part, "pic_media_id", BAD_MEDIA), "image")


def _check_image(call: Call, part: Json) -> None:
    media_id, url = text(part, "media_id"), text(part, "pic_url")
    if media_id:
        check_media(call, media_id, "image")
    elif not url or url not in call.world.images:
        raise WecomError(BAD_MEDIA, "image needs a media_id or a pic_url from media/uploadimg")
