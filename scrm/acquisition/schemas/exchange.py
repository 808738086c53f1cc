"""Import and export of channel codes."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.kernel.schemas import Schema

FORMATS = ("csv", "json")
CONTENT_LENGTH = 2 * 1024 * 1024


class ChannelCodesExportQuery(Schema):
    """As what to export."""

    format = fields.String(load_default="csv", validate=OneOf(FORMATS))


class ChannelCodesImportIn(Schema):
    """A file of channel codes."""

    format = fields.String(required=True, validate=OneOf(FORMATS))
    content = fields.String(required=True, validate=Length(1, CONTENT_LENGTH))
    dry_run = fields.Boolean(load_default=False)


class ChannelCodesRowErrorOut(Schema):
    """What is wrong with one row."""

    row = fields.Integer(required=True, metadata={"description": "1 is the first code of the file"})
    errors = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, metadata={"description": "by column"}
    )


class ChannelCodesImportOut(Schema):
    """What an import made, or would make."""

    rows = fields.Integer(required=True)
    made = fields.List(fields.Integer(), required=True, metadata={"description": "ids of the new codes"})
    errors = fields.List(fields.Nested(ChannelCodesRowErrorOut), required=True)
    dry_run = fields.Boolean(required=True)
