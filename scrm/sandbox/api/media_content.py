"""Looking into uploaded bytes: how long a voice or video is, how large a picture (wecom-api.md §4.16)."""

from __future__ import annotations

import struct

JPG, PNG, AMR = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"#!AMR"
MP4_MARK = b"ftyp"
AMR_HEAD = 6  # "#!AMR\n"
AMR_FRAMES = (13, 14, 16, 18, 20, 21, 27, 32, 6)  # bytes of a frame by its type, the type byte included
AMR_FRAME_SECONDS = 0.02
JPG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that carry the picture's size


def is_kind(kind: str, content: bytes) -> bool:
    """Whether the first bytes are of a format this kind may have."""
    if kind == "image":
        return content.startswith((JPG, PNG))
    if kind == "voice":
        return content.startswith(AMR)
    return kind == "file" or content[4:8] == MP4_MARK


def voice_seconds(content: bytes) -> float:
    """How long an AMR recording lasts, by its frames; 0 for bytes that are no frames."""
    at, frames = AMR_HEAD, 0
    while at < len(content):
        kind = content[at] >> 3 & 0x0F
        at += AMR_FRAMES[kind] if kind < len(AMR_FRAMES) else 1
        frames += 1
    return frames * AMR_FRAME_SECONDS


def video_seconds(content: bytes) -> float:
    """How long an MP4 lasts, by its movie header; 0 when there is none."""
    at = content.find(b"mvhd")
    if at < 0 or len(content) < at + 40:
        return 0.0
    version = content[at + 4]
    scale, duration = struct.unpack_from(">IQ" if version else ">II", content, at + (24 if version else 16))
    return float(duration / scale) if scale else 0.0


def picture_side(content: bytes) -> int:
    """The longer side in pixels; 0 when the bytes do not tell."""
    if content.startswith(PNG):
        return _larger(">II", content, 16) if len(content) >= len(PNG) + 16 else 0
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        if content[at + 1] in JPG_SIZES:
            return _larger(">HH", content, at + 5)
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return 0


def _larger(layout: str, content: bytes, at: int) -> int:
    first, second = struct.unpack_from(layout, content, at)
    return max(int(first), int(second))
