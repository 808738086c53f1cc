"""Base of every marshmallow schema: unknown fields are refused, times are aware."""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import Any

from marshmallow import RAISE, ValidationError, fields, validates_schema
from marshmallow import Schema as MarshmallowSchema
from marshmallow.validate import Length, Range

from scrm.kernel.storable import problems_within

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
NO_LIST = fields.List.default_error_messages["invalid"]


class Schema(MarshmallowSchema):
    """Our API refuses what it does not know, so that a typing error is seen and not swallowed.

    It refuses what no table can hold too: numbers over 64 bits, NUL in text, moments thousands of years away.
    """

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Of a list say what would be right, where the field itself does not."""
        told = field_obj.error_messages
        if isinstance(field_obj, fields.List) and told.get("invalid") == NO_LIST:
            told["invalid"] = "must be a list, in [ ] also when it is of one"

    @validates_schema
    def _storable(self, data: dict[str, Any], **_: Any) -> None:
        names = {field.attribute or name: field.data_key or name for name, field in self.fields.items()}
        named = {names.get(name, name): value for name, value in data.items()}
        problems = {path: [problem] for path, problem in problems_within(named)}
        if problems:
            raise ValidationError(problems)


def time_field(**kwargs: Any) -> fields.AwareDateTime:
    """A moment in ISO 8601; without an offset it is read as UTC."""
    return fields.AwareDateTime(format="iso", default_timezone=UTC, **kwargs)


class PageQuery(Schema):
    """Query of every list: where to go on, and how many."""

    cursor = fields.String(
        metadata={"description": "next_cursor of the page before"}, validate=Length(max=200)
    )
    limit = fields.Integer(load_default=LIMIT_DEFAULT, validate=Range(1, LIMIT_MAX))


@cache
def page_schema(item: type[MarshmallowSchema]) -> type[MarshmallowSchema]:
    """The envelope of a list of ``item``: ``items`` and, unless it was the last page, ``next_cursor``."""
    return Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next_cursor": fields.String(allow_none=True, required=True),
        },
        name=f"{item.__name__.removesuffix('Schema')}Page",
    )


class ProblemSchema(Schema):
    """An error as RFC 9457 problem document."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    fields_ = fields.Dict(data_key="fields", keys=fields.String(), values=fields.String())


class RowResultSchema(Schema):
    """What became of one row of a batch."""

    index = fields.Integer(required=True, metadata={"description": "place of the row, from 0"})
    status = fields.String(required=True, metadata={"enum": ["created", "updated", "unchanged", "refused"]})
    problem = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "of a refused row: what would be right, by field"},
    )


class BatchOut(Schema):
    """A batch is answered row by row; a refused row does not keep the others out."""

    created = fields.Integer(required=True)
    updated = fields.Integer(required=True)
    unchanged = fields.Integer(required=True)
    refused = fields.Integer(required=True)
    results = fields.List(fields.Nested(RowResultSchema), required=True)
