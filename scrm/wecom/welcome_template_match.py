"""Telling whether a group welcome template (入群欢迎语) at WeCom says what it should."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PARTS = ("image", "link", "miniprogram", "file", "video")
MEDIA = (
    "image",
    "file",
    "video",
)  # come back under another id or address, so only their presence is compared
CHANGING = frozenset({"picurl", "pic_media_id", "pic_library_id"})  # pictures of cards, for the same reason


def same_template(shown: Json, wanted: Json) -> bool:
    """Whether the answer of group_welcome_template/get has the text and the attachment of a wanted body."""
    return not template_differences(shown, wanted)


def template_differences(shown: Json, wanted: Json) -> list[str]:
    """Names of the parts that differ: ``text``, ``image``, ``link``, …; empty when nothing that can be compared does."""
    found = ["text"] if _text(shown) != _text(wanted) else []
    return found + [part for part in PARTS if _part(shown, part) != _part(wanted, part)]


def _text(message: Json) -> str:
    return str((message.get("text") or {}).get("content") or "")


def _part(message: Json, part: str) -> Json | None:
    given = {key: value for key, value in (message.get(part) or {}).items() if value}
    if not given:
        return None
    return {} if part in MEDIA else {key: value for key, value in given.items() if key not in CHANGING}
