"""What the API says about imports."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range

from scrm.imports.models import ImportState
from scrm.imports.queries import KINDS
from scrm.kernel.schemas import PageQuery, Schema, time_field

MOST_COLUMNS = 200
MOST_VALUES = 500


class UploadFiles(Schema):
    """The file as a form part named ``file``."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class UploadForm(Schema):
    """What is said beside the file."""

    target = fields.String(
        required=True, validate=Length(1, 40), metadata={"description": "such as people or orders"}
    )
    sheet = fields.String(
        validate=Length(1, 100), metadata={"description": "of a workbook; its first visible one without"}
    )
    header_row = fields.Integer(
        validate=Range(1, 1000), metadata={"description": "row with the names of columns; the first not empty without"}
    )  # fmt: skip


class UploadBody(UploadForm, UploadFiles):
    """All parts of the form, for the API description."""


class ImportColumnIn(Schema):
    """What one column becomes."""

    column = fields.String(required=True, validate=Length(1, 500))
    to = fields.String(required=True, validate=Length(1, 200), metadata={"example": "identity:phone"})
    translations = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        validate=Length(max=MOST_VALUES),
        metadata={"description": "what is written, and what it means", "example": {"男": "male"}},
    )
    date_format = fields.String(validate=Length(1, 40), metadata={"example": "%d/%m/%Y"})
    decimal_comma = fields.Boolean()


class MappingSchema(Schema):
    """What the columns of a file mean."""

    source = fields.String(
        required=True, metadata={"description": "name of the source of the rows, such as crm"}
    )
    columns: Any = fields.List(fields.Nested(ImportColumnIn), required=True, validate=Length(1, MOST_COLUMNS))
    constants = fields.Dict(
        keys=fields.String(), values=fields.Raw(), metadata={"description": "the same for every row", "example": {"currency": "CNY"}}
    )  # fmt: skip
    date_format = fields.String(validate=Length(1, 40))
    decimal_comma = fields.Boolean()


class MappingIn(MappingSchema):
    """A mapping, or a template's with another source perhaps."""

    source = fields.String()
    columns: Any = fields.List(fields.Nested(ImportColumnIn), validate=Length(1, MOST_COLUMNS))
    template_id = fields.Integer(metadata={"description": "take everything else from a kept mapping"})


class SuggestionQuery(Schema):
    """What is known already."""

    type = fields.String(validate=Length(1, 64), metadata={"description": "of events: the registered type"})


class SuggestedColumn(Schema):
    """A column that is recognised."""

    column = fields.String(required=True)
    to = fields.String(required=True)


class ImportSuggestionOut(Schema):
    """Columns that are recognised by their names or by what stands in them."""

    columns: Any = fields.List(fields.Nested(SuggestedColumn), required=True)


class ImportStartIn(Schema):
    """Yes to what a refusal named."""

    confirm = fields.String(validate=Length(max=64))


class ImportUndoIn(Schema):
    """Whether to look only."""

    dry_run = fields.Boolean(load_default=False)


class ImportProgress(Schema):
    """How far the phase at work is."""

    done = fields.Integer(required=True, metadata={"description": "rows"})
    total = fields.Integer(required=True)
    rows_per_second = fields.Float(allow_none=True)


class FileColumnOut(Schema):
    """A column of the file."""

    name = fields.String(required=True)
    filled = fields.Integer(required=True, metadata={"description": "cells that are not empty"})
    samples = fields.List(fields.String(), required=True)


class ImportLeftOut(Schema):
    """A row that an undo left as it is."""

    table = fields.String(required=True)
    record = fields.String(allow_none=True, required=True)
    why = fields.String(required=True)


class ImportUndoOut(Schema):
    """What an undo gave back, or would."""

    dry_run = fields.Boolean()
    restored = fields.Integer()
    conflicts = fields.Integer()
    left: Any = fields.List(fields.Nested(ImportLeftOut))


class ImportRow(Schema):
    """An import in a list."""

    id = fields.Integer(required=True)
    target = fields.String(required=True)
    state = fields.Enum(ImportState, by_value=True, required=True)
    filename = fields.String(required=True)
    size = fields.Integer(required=True)
    rows = fields.Integer(required=True)
    source = fields.String(allow_none=True, required=True)
    tally = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "rows, of the dry run"}
    )
    done = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "rows, of the run"}
    )
    error = fields.String(allow_none=True)
    made_by = fields.String(required=True)
    created_at = time_field(required=True)
    started_at = time_field(allow_none=True)
    finished_at = time_field(allow_none=True)
    forgotten_at = time_field(allow_none=True)


class ImportOut(ImportRow):
    """One import."""

    sha256 = fields.String(required=True)
    sheet = fields.String(allow_none=True)
    columns: Any = fields.List(fields.Nested(FileColumnOut), required=True)
    mapping: Any = fields.Nested(MappingSchema, allow_none=True)
    base = fields.Integer(metadata={"description": "records there were before"})
    undo: Any = fields.Nested(ImportUndoOut)
    same_file_as = fields.Integer(allow_none=True, metadata={"description": "import of the very same file"})
    progress: Any = fields.Nested(ImportProgress, required=True)


class ImportQuery(PageQuery):
    """Filters of imports."""

    state = fields.Enum(ImportState, by_value=True)
    target = fields.String(validate=Length(1, 40))


class ImportRowQuery(Schema):
    """Which rows."""

    status = fields.String(required=True, validate=OneOf(KINDS))


class ImportChangeOut(Schema):
    """One difference."""

    field = fields.String(required=True)
    before = fields.Raw(allow_none=True)
    after = fields.Raw(allow_none=True)
    stands = fields.Boolean(
        metadata={"description": "false: kept, and another source's value goes on to stand"}
    )


class ImportSampleOut(Schema):
    """One row of the report."""

    row = fields.Integer(required=True, metadata={"description": "number of the row in the file"})
    record = fields.Raw(metadata={"description": "id of the person, or the record's own key"})
    changes: Any = fields.List(fields.Nested(ImportChangeOut))
    problems = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "what would be right, by column"},
    )


class ImportSampleListOut(Schema):
    """The first 100 rows of a kind."""

    items: Any = fields.List(fields.Nested(ImportSampleOut), required=True)


class ImportErrorQuery(Schema):
    """In which form."""

    format = fields.String(load_default="xlsx", validate=OneOf(["csv", "xlsx"]))


class ImportTargetField(Schema):
    """What a column can become."""

    path = fields.String(required=True)
    kind = fields.String(required=True)
    zh = fields.String(required=True)
    en = fields.String(required=True)


class ImportTargetOut(Schema):
    """Something that can be imported."""

    name = fields.String(required=True)
    zh = fields.String(required=True)
    en = fields.String(required=True)
    permission = fields.String(required=True)
    fields_: Any = fields.List(
        fields.Nested(ImportTargetField), data_key="fields", attribute="fields", required=True
    )


class ImportTargetListOut(Schema):
    """Everything that can be imported."""

    items: Any = fields.List(fields.Nested(ImportTargetOut), required=True)


class ImportTemplateIn(Schema):
    """Keep an import's mapping under a name."""

    name = fields.String(required=True, validate=Length(1, 100))
    import_id = fields.Integer(required=True)


class ImportTemplateOut(Schema):
    """A kept mapping."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    target = fields.String(required=True)
    mapping: Any = fields.Nested(MappingSchema, required=True)
    made_by = fields.String(required=True)
    created_at = time_field(required=True)
