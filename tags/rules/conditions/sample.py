"""A share of all persons, always the same ones for the same salt; another system can work it out as well.

The place of a person is ``int(md5(f"{salt}:{person_id}").hexdigest()[:8], 16) % 10000``, 0 to 9999; the sample holds the
places from ``offset`` × 100 up to, not including, (``offset`` + ``percent``) × 100. Two samples of one salt whose
stretches do not meet have nobody in common.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range
from sqlalchemy import BigInteger, ColumnElement, Text, and_, cast, exists, func, literal, select
from sqlalchemy.dialects.postgresql import BIT

from scrm.customers.models import Customer
from scrm.kernel.schemas import Schema
from scrm.people.models import CustomerPerson
from tags.rules.leaves import Args, Language, Leaf, Names, NumberField, plain_text
from tags.rules.phrases import number

PLACES = 10_000
PER_CENT = PLACES // 100


class SampleArgs(Schema):
    """Arguments: how many per cent (two decimals), from which per cent on, and the salt that names the draw."""

    percent = NumberField(required=True, validate=Range(0.01, 100))
    offset = NumberField(load_default=0, allow_none=False, validate=Range(0, 99.99))
    salt = fields.String(required=True, validate=[Length(1, 100), plain_text])

    @validates_schema(skip_on_field_errors=True)
    def _within_everybody(self, data: dict[str, Any], **kwargs: Any) -> None:
        if round((data["percent"] + data["offset"]) * PER_CENT) > PLACES:
            raise ValidationError("must not reach over 100 with the offset", "percent")


def place_of(person_id: Any, salt: str) -> ColumnElement[int]:
    """The place of a person (a column) in the draw, 0 to 9999."""
    digest = func.md5(literal(f"{salt}:", Text) + cast(person_id, Text), type_=Text)
    bits = cast(literal("x", Text) + func.substr(digest, 1, 8, type_=Text), BIT(32))
    return cast(bits, BigInteger) % PLACES


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    place = place_of(CustomerPerson.person_id, args["salt"])
    first = round(args["offset"] * PER_CENT)
    last = first + round(args["percent"] * PER_CENT) - 1
    drawn = and_(CustomerPerson.customer_id == Customer.id, place.between(first, last))
    return exists().where(drawn).correlate(Customer)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    """The person's place in the draw."""
    place = select(place_of(CustomerPerson.person_id, args["salt"]))
    return place.where(CustomerPerson.customer_id == Customer.id).correlate(Customer).scalar_subquery()


def _words(args: Args, language: Language, names: Names) -> str:
    share, first = number(args["percent"]), number(args["offset"])
    begin = args["offset"] > 0
    if language == "zh":
        return f"抽样「{args['salt']}」的{share}%" + (f"（从{first}%起）" if begin else "")
    return f"is in the {share}% sample 「{args['salt']}」" + (f" from {first}% on" if begin else "")


LEAF = Leaf(
    kind="sample",
    schema=SampleArgs,
    reads=lambda _args: {"person"},
    clause=_clause,
    words=_words,
    value=_value,
)
