"""Shapes of the media API."""

from __future__ import annotations

from marshmallow import fields

from scrm.kernel.schemas import PageQuery, Schema
from scrm.media.models import MediaKind, Use


class MediaFileIn(Schema):
    """A file as a form part named ``file``."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class MediaFileQuery(PageQuery):
    """Which files to list."""

    kind = fields.Enum(MediaKind, by_value=True)


class MediaFileDeletion(Schema):
    """Whether a file goes although messages name it."""

    force = fields.Boolean(load_default=False)


class MediaFileOut(Schema):
    """A file of the library."""

    id = fields.Integer()
    kind = fields.Enum(MediaKind, by_value=True)
    filename = fields.String()
    content_type = fields.String()
    size = fields.Integer(metadata={"description": "bytes"})
    seconds = fields.Float(allow_none=True, metadata={"description": "length of a voice message"})
    sha256 = fields.String()
    made_by = fields.String()
    created_at = fields.AwareDateTime()


class MediaUploadOut(Schema):
    """What WeCom holds of a file for one use."""

    use = fields.Enum(Use, by_value=True)
    uploaded_at = fields.AwareDateTime(allow_none=True)
    expires_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "null: never, or not uploaded"}
    )
    keep_until = fields.AwareDateTime(metadata={"description": "renewed before it expires until then"})
    error = fields.String(allow_none=True, metadata={"description": "why the last upload failed"})


class MediaFileDetailOut(MediaFileOut):
    """A file with what WeCom holds of it."""

    uploads = fields.List(fields.Nested(MediaUploadOut))
    refused_uses = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "where WeCom would not take it, and why"},
    )
