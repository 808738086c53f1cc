"""Customers whose field, or the field of a present relation, has a certain value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import OneOf
from sqlalchemy import ColumnElement, any_, literal

from scrm.kernel.schemas import Schema
from tags.rules.fields import FIELDS
from tags.rules.leaves import MAX_ID, Args, Language, Leaf, Names, plain_text, quoted

MAX_LENGTH = 500


class FieldEquals(Schema):
    """Arguments: the field and its value, a text or a whole number as the field has it."""

    field = fields.String(required=True, validate=OneOf(sorted(FIELDS)))
    value = fields.Raw(required=True, metadata={"type": ["string", "integer"]})

    @validates_schema
    def _value_fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        value, wanted = data["value"], FIELDS[data["field"]].kind
        if wanted is int:
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_ID:
                raise ValidationError("must be a whole number", "value")
        elif not isinstance(value, str) or len(value) > MAX_LENGTH:
            raise ValidationError(f"must be a text of at most {MAX_LENGTH} characters", "value")
        else:
            _plain(value)


def _plain(value: str) -> None:
    try:
        plain_text(value)
    except ValidationError as error:
        raise ValidationError(error.messages, "value") from None


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    field = FIELDS[args["field"]]
    if field.kind in (str, int):
        return field.where(field.column == args["value"])
    return field.where(literal(args["value"]) == any_(field.column))


def _words(args: Args, language: Language, names: Names) -> str:
    field, value = FIELDS[args["field"]], quoted([str(args["value"])])
    return f"{field.zh}等于{value}" if language == "zh" else f"{field.en} is {value}"


LEAF = Leaf(
    kind="field_equals",
    schema=FieldEquals,
    reads=lambda args: {FIELDS[args["field"]].fact},
    clause=_clause,
    words=_words,
)
