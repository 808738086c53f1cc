"""What WeCom takes in which place: kind, size, length (wecom-api.md sections 4.11, 4.15, 4.16), checked before any call."""

from __future__ import annotations

from dataclasses import dataclass

from scrm.media.models import MediaKind, Use

MEGABYTE = 1024 * 1024
LEAST_BYTES = 6  # "> 5 bytes"
LARGEST = 20 * MEGABYTE  # of any use
VOICE_SECONDS = 60.0
AMR_HEADER = b"#!AMR\n"
AMR_FRAME_SECONDS = 0.02
AMR_FRAME_BYTES = (12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0)
"""Speech bytes after a frame's first byte by its type (RFC 4867, section 5.3, narrow band)."""
CONTENT_TYPES = {
    MediaKind.IMAGE: "image/jpeg",
    MediaKind.VOICE: "audio/amr",
    MediaKind.VIDEO: "video/mp4",
    MediaKind.FILE: "application/octet-stream",
}
PNG = b"\x89PNG\r\n\x1a\n"
JPG = b"\xff\xd8\xff"
MP4_MARK, MP4_AT = b"ftyp", slice(4, 8)


@dataclass(frozen=True)
class Rule:
    """What one use takes.

    :param kinds: kinds of content
    :param most: bytes
    """

    kinds: frozenset[MediaKind]
    most: int


_IMAGE, _ANY = frozenset({MediaKind.IMAGE}), frozenset(MediaKind)
RULES = {
    Use.IMAGE: Rule(_IMAGE, 10 * MEGABYTE),
    Use.VOICE: Rule(frozenset({MediaKind.VOICE}), 2 * MEGABYTE),
    Use.VIDEO: Rule(frozenset({MediaKind.VIDEO}), 10 * MEGABYTE),
    Use.FILE: Rule(_ANY, LARGEST),
    Use.PICTURE_URL: Rule(_IMAGE, 2 * MEGABYTE),
    Use.MOMENT_IMAGE: Rule(_IMAGE, 10 * MEGABYTE),
    Use.MOMENT_VIDEO: Rule(frozenset({MediaKind.VIDEO}), 10 * MEGABYTE),
    Use.ALBUM_IMAGE: Rule(_IMAGE, 10 * MEGABYTE),
}


def kind_of(content: bytes) -> MediaKind:
    """What the content is by its first bytes; the name of a file proves nothing."""
    if content.startswith((JPG, PNG)):
        return MediaKind.IMAGE
    if content.startswith(AMR_HEADER):
        return MediaKind.VOICE
    return MediaKind.VIDEO if content[MP4_AT] == MP4_MARK else MediaKind.FILE


def content_type_of(content: bytes) -> str:
    """The MIME type under which the content is given out; unknown content is never shown, only downloaded."""
    return "image/png" if content.startswith(PNG) else CONTENT_TYPES[kind_of(content)]


def voice_seconds(content: bytes) -> float | None:
    """Length of an AMR recording, counted by its frames; None for other content."""
    if not content.startswith(AMR_HEADER):
        return None
    at, frames = len(AMR_HEADER), 0
    while at < len(content):
        at += 1 + AMR_FRAME_BYTES[(content[at] >> 3) & 0x0F]
        frames += 1
    return frames * AMR_FRAME_SECONDS


def refusal(kind: MediaKind, size: int, seconds: float | None, use: Use) -> str | None:
    """Why WeCom would not take such a file in this use, in one sentence; None when it would."""
    rule = RULES[use]
    if kind not in rule.kinds:
        wanted = " or ".join(sorted(rule.kinds))
        return f"is a {kind}; {use} takes {wanted} (image: JPG or PNG, voice: AMR, video: MP4)"
    if size > rule.most:
        return f"is {size} bytes large; WeCom takes at most {rule.most} as {use}"
    if use is Use.VOICE and (seconds or 0) > VOICE_SECONDS:
        return f"lasts {seconds:.0f} s; WeCom takes at most {VOICE_SECONDS:.0f} s"
    return None
