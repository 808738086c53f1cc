"""Text and attachments of a message to customers, as WeCom takes them: welcomes and broadcasts share the limits.

Source: wecom-api.md sections 4.5 and 4.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from scrm.kernel.schemas import Schema

TEXT_BYTES = 4000
ATTACHMENTS_MAX = 9
TITLE_BYTES = 128
DESC_BYTES = 512
URL_BYTES = 2048
MINIPROGRAM_TITLE_BYTES = 64
KINDS = ("image", "link", "miniprogram", "video", "file")


class Utf8Length:
    """At least ``least`` and at most ``most`` bytes in UTF-8, which is how WeCom counts."""

    def __init__(self, most: int, least: int = 0) -> None:
        self.most = most
        self.least = least

    def __call__(self, value: str) -> str:
        """Give ``value`` back; raise ValidationError with its size and the limit."""
        size = len(value.encode())
        if size > self.most:
            raise ValidationError(f"is {size} bytes long; WeCom allows at most {self.most}")
        if size < self.least:
            raise ValidationError(
                "may not be empty" if self.least == 1 else f"must have at least {self.least} bytes"
            )
        return value


def _required(most: int = URL_BYTES) -> fields.String:
    return fields.String(required=True, validate=Utf8Length(most, 1))


def _library_id() -> fields.Integer:
    """A file of our media library; what is sent later than three days from now needs this instead of a media id."""
    return fields.Integer(strict=True, validate=Range(min=1))


class ImageIn(Schema):
    """A picture: a file of the library, a media id (valid 3 days) or the address that ``media/uploadimg`` gave."""

    library_id = _library_id()
    media_id = fields.String(validate=Utf8Length(URL_BYTES, 1))
    pic_url = fields.String(validate=Utf8Length(URL_BYTES, 1))

    @validates_schema
    def _one_given(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data.get("library_id") and not data.get("media_id") and not data.get("pic_url"):
            raise ValidationError("needs library_id, media_id or pic_url", "library_id")
        _one_of(data, "library_id", "media_id", required=False)


class LinkIn(Schema):
    """A link card."""

    title = _required(TITLE_BYTES)
    url = _required()
    desc = fields.String(validate=Utf8Length(DESC_BYTES))
    picurl = fields.String(validate=Utf8Length(URL_BYTES))
    pic_library_id = _library_id()

    @validates_schema
    def _one_picture(self, data: Mapping[str, Any], **_: Any) -> None:
        _one_of(data, "pic_library_id", "picurl", required=False)


class MiniprogramIn(Schema):
    """A mini program card; the program must be linked to the corp."""

    title = _required(MINIPROGRAM_TITLE_BYTES)
    pic_media_id = fields.String(validate=Utf8Length(URL_BYTES, 1))
    pic_library_id = _library_id()
    appid = _required()
    page = _required()

    @validates_schema
    def _one_picture(self, data: Mapping[str, Any], **_: Any) -> None:
        _one_of(data, "pic_library_id", "pic_media_id")


class AttachedMediaIn(Schema):
    """A video or a file: of the library, or by its media id (valid 3 days)."""

    library_id = _library_id()
    media_id = fields.String(validate=Utf8Length(URL_BYTES, 1))

    @validates_schema
    def _one_given(self, data: Mapping[str, Any], **_: Any) -> None:
        _one_of(data, "library_id", "media_id")


def _one_of(data: Mapping[str, Any], ours: str, wecoms: str, *, required: bool = True) -> None:
    """Our number of a file or WeCom's id for it, not both."""
    if data.get(ours) and data.get(wecoms):
        raise ValidationError(f"give {ours} or {wecoms}, not both", ours)
    if required and not data.get(ours) and not data.get(wecoms):
        raise ValidationError(f"needs {ours} or {wecoms}", ours)


class AttachmentIn(Schema):
    """One attachment: ``msgtype`` and the part of that name, nothing else."""

    msgtype = fields.String(required=True, validate=OneOf(KINDS))
    image = fields.Nested(ImageIn)
    link = fields.Nested(LinkIn)
    miniprogram = fields.Nested(MiniprogramIn)
    video = fields.Nested(AttachedMediaIn)
    file = fields.Nested(AttachedMediaIn)

    @validates_schema
    def _part_of_that_kind(self, data: Mapping[str, Any], **_: Any) -> None:
        kind = data.get("msgtype")
        for name in KINDS:
            if name == kind and name not in data:
                raise ValidationError(f"is required when msgtype is {kind}", name)
            if name != kind and name in data:
                raise ValidationError(f"does not belong to an attachment of msgtype {kind}", name)


def message_text(**kwargs: Any) -> fields.String:
    """A field for the text of a message: at most 4000 bytes, may be absent."""
    return fields.String(allow_none=True, validate=Utf8Length(TEXT_BYTES), **kwargs)


def message_attachments(**kwargs: Any) -> fields.List[Any]:
    """A field for the attachments of a message: at most 9 (WeCom answers more with 41064)."""
    problem = f"must be at most {ATTACHMENTS_MAX} attachments"
    return fields.List(
        fields.Nested(AttachmentIn), validate=Length(max=ATTACHMENTS_MAX, error=problem), **kwargs
    )


def refuse_empty(text: str | None, attachments: list[Any] | None) -> None:
    """Raise ValidationError unless there is something to send: text and attachments may not both be empty."""
    if not (text or "").strip() and not attachments:
        raise ValidationError("text and attachments may not both be empty", "text")
