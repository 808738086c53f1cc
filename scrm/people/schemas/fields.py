"""What the API says about the fields of persons."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range, Regexp

from scrm.kernel.permissions import Permission
from scrm.kernel.schemas import Schema
from scrm.people.queries.fields import FieldType, Survivorship

KEY = Regexp(
    r"\A[a-z][a-z0-9_]{0,63}\Z", error="must be small letters, digits and _, at most 64, a letter first"
)
MOST_CHOICES = 200


def _permissions(words: str) -> Any:
    one = fields.String(validate=OneOf([str(p) for p in Permission]))
    return fields.List(
        one,
        error_messages={"invalid": 'must be a list of permissions, such as ["people:write"]'},
        metadata={"description": f"one of these permissions is needed to {words} it"},
    )


class FieldChoiceSchema(Schema):
    """One choice of a field."""

    value = fields.String(required=True, validate=Length(1, 100))
    zh = fields.String(required=True, validate=Length(1, 100))
    en = fields.String(required=True, validate=Length(1, 100))


class FieldLimitsSchema(Schema):
    """What values must keep to, by type."""

    min = fields.Raw(metadata={"description": "number: a number; date: a day, or today"})
    max = fields.Raw(metadata={"description": "number: a number; date: a day, or today"})
    max_length = fields.Integer(validate=Range(1, 2000), metadata={"description": "of a text"})
    pattern = fields.String(
        validate=Length(1, 200), metadata={"description": "regular expression of a whole text"}
    )


class FieldChange(Schema):
    """What can be changed of a field."""

    name_zh = fields.String(validate=Length(1, 60))
    name_en = fields.String(validate=Length(1, 60))
    choices = fields.List(fields.Nested(FieldChoiceSchema), validate=Length(max=MOST_CHOICES))
    limits = fields.Nested(FieldLimitsSchema)
    required = fields.Boolean()
    position = fields.Integer(metadata={"description": "fields are shown in this order"})
    survivorship = fields.String(
        validate=OneOf([str(s) for s in Survivorship]),
        metadata={"description": "which of several values stands"},
    )
    trusted = fields.List(
        fields.String(validate=Length(1, 64)),
        validate=Length(max=50),
        metadata={"description": "sources, most trusted first; without, the order of the settings"},
    )
    seen_with = _permissions("see")
    written_with = _permissions("write")
    archived = fields.Boolean(
        metadata={"description": "an archived field is not shown and takes no values; what was said is kept"}
    )


class FieldIn(FieldChange):
    """A new field."""

    class Meta:
        exclude = ("archived",)

    key = fields.String(required=True, validate=KEY)
    type = fields.String(required=True, validate=OneOf([str(t) for t in FieldType]))
    name_zh = fields.String(required=True, validate=Length(1, 60))
    name_en = fields.String(required=True, validate=Length(1, 60))
    survivorship = fields.String(
        load_default=str(Survivorship.NEWEST), validate=OneOf([str(s) for s in Survivorship])
    )


class FieldOut(Schema):
    """One field."""

    key = fields.String(required=True)
    type = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    choices = fields.List(fields.Nested(FieldChoiceSchema), required=True)
    limits = fields.Dict(required=True)
    required = fields.Boolean(required=True)
    position = fields.Integer(required=True)
    survivorship = fields.String(required=True)
    trusted = fields.List(fields.String(), required=True)
    seen_with = fields.List(fields.String(), required=True)
    written_with = fields.List(fields.String(), required=True)
    built_in = fields.Boolean(required=True)
    archived = fields.Boolean(required=True)


class FieldQuery(Schema):
    """Filter of the list of fields."""

    archived = fields.Boolean(load_default=False, metadata={"description": "archived ones too"})


class FieldListOut(Schema):
    """All fields in the order they are shown."""

    items: Any = fields.List(fields.Nested(FieldOut), required=True)
