"""What the API says about the value of persons."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import Length, OneOf, Range, Regexp

from scrm.commerce.service.currencies import CURRENCIES
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.value.models import Method

MOST_DAYS = 36_500
MOST_ORDERS = 1_000_000


def _ascending(cuts: list[Any]) -> None:
    if len(cuts) != 4 or any(Decimal(low) >= Decimal(high) for low, high in pairwise(cuts)):
        raise ValidationError("must be four numbers, each larger than the one before")


class RfmSettings(Schema):
    """How RFM is worked out; cut-points are used with the method ``fixed``."""

    method = fields.String(required=True, validate=OneOf([str(method) for method in Method]))
    window_days = fields.Integer(required=True, strict=True, validate=Range(1, MOST_DAYS))
    currency = fields.String(
        required=True,
        validate=OneOf(
            sorted(CURRENCIES), error="must be a currency by its three letters (ISO 4217), such as CNY"
        ),
        metadata={"description": "only orders in this currency count: amounts of several cannot be added"},
    )
    recency_cuts = fields.List(
        fields.Integer(strict=True, validate=Range(0, MOST_DAYS)),
        required=True,
        validate=_ascending,
        metadata={"description": "days up to which the score is 5, 4, 3, 2"},
    )
    frequency_cuts = fields.List(
        fields.Integer(strict=True, validate=Range(1, MOST_ORDERS)),
        required=True,
        validate=_ascending,
        metadata={"description": "orders from which the score is 2, 3, 4, 5"},
    )
    monetary_cuts = fields.List(
        fields.String(
            validate=Regexp(r"^\d{1,14}(\.\d{1,4})?\Z", error='must be an amount such as "199.90"')
        ),
        required=True,
        validate=_ascending,
        metadata={"description": "amounts from which the score is 2, 3, 4, 5"},
    )


def _score(**kwargs: Any) -> fields.Integer:
    return fields.Integer(validate=Range(1, 5), **kwargs)


class RfmQuery(PageQuery):
    """Filters of scores, both ends included."""

    r_min, r_max = _score(), _score()
    f_min, f_max = _score(), _score()
    m_min, m_max = _score(), _score()


class RfmOut(Schema):
    """Scores of a person, 1 (worst) to 5 (best)."""

    person_id = fields.Integer(required=True)
    recency_days = fields.Integer(required=True)
    frequency = fields.Integer(required=True)
    monetary = fields.String(required=True)
    r = _score(required=True)
    f = _score(required=True)
    m = _score(required=True)
    computed_at = time_field(required=True)


class RfmCell(Schema):
    """How many persons have these three scores."""

    r = _score(required=True)
    f = _score(required=True)
    m = _score(required=True)
    people = fields.Integer(required=True)


class RfmCells(Schema):
    """Every combination that occurs."""

    items = fields.List(fields.Nested(RfmCell), required=True)


class StageSchema(Schema):
    """A stage: who may be in it, and where one comes into it from."""

    key = fields.String(required=True, validate=Regexp(r"^[a-z][a-z0-9_]{0,31}\Z"))
    name_zh = fields.String(required=True, validate=Length(1, 40))
    name_en = fields.String(required=True, validate=Length(1, 40))
    orders_min = fields.Integer(strict=True, load_default=0, validate=Range(0, MOST_ORDERS))
    orders_max = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=Range(0, MOST_ORDERS)
    )
    days_min = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=Range(0, MOST_DAYS),
        metadata={"description": "since the last paid order"},
    )
    days_max = fields.Integer(strict=True, load_default=None, allow_none=True, validate=Range(0, MOST_DAYS))
    enters_from = fields.List(
        fields.String(),
        load_default=None,
        allow_none=True,
        validate=Length(max=30),
        metadata={"description": "keys of the stages one may come from; null: from anywhere"},
    )


class StagesIn(Schema):
    """All stages, in the order in which they are tried; the first that fits holds."""

    stages = fields.List(fields.Nested(StageSchema), required=True, validate=Length(1, 30))


class StageOut(StageSchema):
    """A stage with how many are in it."""

    people = fields.Integer(required=True)


class StagesOut(Schema):
    """All stages, in order."""

    items = fields.List(fields.Nested(StageOut), required=True)


class LifecycleQuery(PageQuery):
    """Filter of persons by their stage."""

    stage = fields.String(validate=Length(1, 32))


class LifecycleOut(Schema):
    """The stage a person is in."""

    person_id = fields.Integer(required=True)
    stage = fields.String(required=True)
    since = time_field(required=True)


class StageChangeOut(Schema):
    """A person came into a stage."""

    from_stage = fields.String(required=True, allow_none=True)
    stage = fields.String(required=True)
    at = time_field(required=True)


class PersonValueOut(Schema):
    """What a person is worth; null: nothing bought within the window, or not worked out yet."""

    rfm = fields.Nested(RfmOut, required=True, allow_none=True)
    lifecycle = fields.Nested(LifecycleOut, required=True, allow_none=True)
    history = fields.List(
        fields.Nested(StageChangeOut), required=True, metadata={"description": "newest 100 first"}
    )
