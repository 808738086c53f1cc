"""Files we keep (素材), and the ids WeCom gave for them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, enum_text


class MediaKind(StrEnum):
    """What a file is by its content."""

    IMAGE = "image"  # JPG or PNG
    VOICE = "voice"  # AMR
    VIDEO = "video"  # MP4
    FILE = "file"  # anything else


class Use(StrEnum):
    """Where a file goes. Each has an upload API of its own, and its ids are good there only (41072)."""

    IMAGE = "image"
    VOICE = "voice"
    VIDEO = "video"
    FILE = "file"
    PICTURE_URL = "picture_url"  # a lasting address for link cards
    MOMENT_IMAGE = "moment_image"
    MOMENT_VIDEO = "moment_video"
    ALBUM_IMAGE = "album_image"


class MediaFile(Model):
    """One file: a name and a content. Content that has several names is several files and is stored once."""

    __tablename__ = "media_files"
    __table_args__ = (UniqueConstraint("sha256", "filename"),)

    id: Mapped[Id]
    sha256: Mapped[str]  # of the content, which is stored by it
    kind: Mapped[MediaKind] = mapped_column(enum_text(MediaKind))
    filename: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]  # bytes
    seconds: Mapped[float | None]  # length of a voice message
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]


class MediaUpload(Model):
    """What WeCom gave for a file in one use."""

    __tablename__ = "media_uploads"
    __table_args__ = (Index("ix_media_uploads_keep_until", "keep_until"),)

    media_file_id: Mapped[int] = mapped_column(
        ForeignKey("media_files.id", ondelete="CASCADE"), primary_key=True
    )
    use: Mapped[Use] = mapped_column(enum_text(Use), primary_key=True)
    media_id: Mapped[str | None]  # or the address, for PICTURE_URL
    uploaded_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # empty with a media_id: never
    keep_until: Mapped[datetime]  # until then it is renewed before it expires
    next_at: Mapped[datetime | None]  # not tried before this: the last upload failed
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    error: Mapped[str | None]
