"""Files of audiences' members as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from scrm.audiences.models import ExportFormat, ExportState, ExportUse
from scrm.audiences.queries.export_columns import DEFAULT, Shown
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.kernel.storable import BIGGEST

COLUMNS_MAX = 100


class ExportIn(Schema):
    """Which file to make."""

    format = fields.Enum(ExportFormat, by_value=True, load_default=ExportFormat.CSV)
    columns = fields.List(
        fields.String(validate=Length(1, 200)),
        load_default=lambda: list(DEFAULT),
        validate=Length(1, COLUMNS_MAX),
        metadata={"description": "keys of /audience-exports/columns"},
    )
    language = fields.String(load_default="zh", validate=OneOf(("zh", "en")))

    @validates_schema(skip_on_field_errors=True)
    def _each_once(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(set(data["columns"])) != len(data["columns"]):
            raise ValidationError("must not name a column twice", "columns")


class ExportColumnOut(Schema):
    """A column, and how this key would get it."""

    key = fields.String()
    zh = fields.String()
    en = fields.String()
    shown = fields.Enum(Shown, by_value=True)
    default = fields.Boolean(metadata={"description": "in the file when no columns are named"})


class ExportColumnsOut(Schema):
    """Every column there is."""

    items = fields.List(fields.Nested(ExportColumnOut))


class AudienceExportOut(Schema):
    """A file of an audience's members, and how far it is."""

    id = fields.Integer()
    audience_id = fields.Integer()
    audience_name = fields.String()
    format = fields.Enum(ExportFormat, by_value=True)
    language = fields.String()
    columns = fields.List(fields.String())
    masked = fields.List(fields.String(), metadata={"description": "columns that are masked in the file"})
    state = fields.Enum(ExportState, by_value=True)
    total = fields.Integer(allow_none=True, metadata={"description": "members, once they are fixed"})
    done = fields.Integer(metadata={"description": "members whose rows were read"})
    size = fields.Integer(allow_none=True, metadata={"description": "bytes"})
    error = fields.String(allow_none=True)
    made_by = fields.String()
    frozen_at = time_field(allow_none=True)
    finished_at = time_field(allow_none=True)
    expires_at = time_field()
    created_at = time_field()


class ExportQuery(PageQuery):
    """Which exports to list."""

    audience_id = fields.Integer(validate=Range(1, BIGGEST))


class ExportLogOut(Schema):
    """Who asked for, fetched or deleted which file."""

    id = fields.Integer()
    at = time_field()
    use = fields.Enum(ExportUse, by_value=True)
    by = fields.String()
    export_id = fields.Integer()
    audience_id = fields.Integer()
    audience_name = fields.String()
    rows = fields.Integer(
        allow_none=True, metadata={"description": "in the file; unknown while it is not made"}
    )
    columns = fields.List(fields.String())
    masked = fields.List(fields.String())
