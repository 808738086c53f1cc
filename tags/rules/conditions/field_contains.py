"""Customers whose field, or the field of a present relation, contains a text; case does not matter."""

from __future__ import annotations

from datetime import datetime

from marshmallow import fields
from marshmallow.validate import And, Length, OneOf
from sqlalchemy import ColumnElement, func

from scrm.kernel.schemas import Schema
from tags.rules.fields import FIELDS
from tags.rules.leaves import Args, Language, Leaf, Names, plain_text, quoted

MAX_LENGTH = 500
TEXTS = sorted(name for name, field in FIELDS.items() if field.kind is not int)


class FieldContains(Schema):
    """Arguments: the field (one that holds text) and the text to look for."""

    field = fields.String(required=True, validate=OneOf(TEXTS))
    value = fields.String(required=True, validate=And(Length(1, MAX_LENGTH), plain_text))


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    field = FIELDS[args["field"]]
    text = field.column if field.kind is str else func.array_to_string(field.column, "\n")
    return field.where(text.icontains(args["value"], autoescape=True))


def _words(args: Args, language: Language, names: Names) -> str:
    field, value = FIELDS[args["field"]], quoted([args["value"]])
    return f"{field.zh}包含{value}" if language == "zh" else f"{field.en} contains {value}"


LEAF = Leaf(
    kind="field_contains",
    schema=FieldContains,
    reads=lambda args: {FIELDS[args["field"]].fact},
    clause=_clause,
    words=_words,
)
