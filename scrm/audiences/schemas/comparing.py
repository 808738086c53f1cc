"""How audiences grow, overlap, and what their members have in common."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from scrm.kernel.schemas import Schema, time_field
from scrm.kernel.storable import BIGGEST

OVERLAP_MAX = 10
DAYS_MAX = 1100  # three years


class AudienceOverlapIn(Schema):
    """Audiences to compare."""

    audience_ids = fields.List(
        fields.Integer(strict=True, validate=Range(1, BIGGEST)),
        required=True,
        validate=Length(2, OVERLAP_MAX),
    )

    @validates_schema(skip_on_field_errors=True)
    def _different(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(set(data["audience_ids"])) != len(data["audience_ids"]):
            raise ValidationError("must not name an audience twice", "audience_ids")


class ComparedAudienceOut(Schema):
    """One of the audiences compared."""

    id = fields.Integer()
    name = fields.String()
    count = fields.Integer()
    alone = fields.Integer(metadata={"description": "members who belong to none of the others"})


class AudiencePairOut(Schema):
    """Two of them."""

    first = fields.Integer()
    second = fields.Integer()
    both = fields.Integer()
    jaccard = fields.Float(metadata={"description": "both divided by either"})
    of_first = fields.Float(metadata={"description": "both divided by the first"})
    of_second = fields.Float()


class AudienceOverlapOut(Schema):
    """How audiences overlap."""

    as_of = time_field()
    audiences = fields.List(fields.Nested(ComparedAudienceOut))
    pairs = fields.List(fields.Nested(AudiencePairOut))
    in_all = fields.Integer()
    in_any = fields.Integer()


class FrequentTagQuery(Schema):
    """Which tags to show."""

    min_support = fields.Integer(
        load_default=5, validate=Range(1, BIGGEST), metadata={"description": "members who must have a tag"}
    )
    limit = fields.Integer(load_default=50, validate=Range(1, 500))


class FrequentTagOut(Schema):
    """A tag that members have more often than everybody; docs/audiences.md names the test."""

    tag_id = fields.Integer()
    tag = fields.String()
    group_id = fields.Integer()
    group = fields.String()
    support = fields.Integer(metadata={"description": "members who have it"})
    share = fields.Float(metadata={"description": "of the members"})
    base_support = fields.Integer(metadata={"description": "customers who have it"})
    base_share = fields.Float(metadata={"description": "of all customers"})
    lift = fields.Float(metadata={"description": "share divided by base_share"})
    g2 = fields.Float(metadata={"description": "likelihood-ratio statistic (Dunning 1993)"})
    p = fields.Float()
    q = fields.Float(
        metadata={"description": "p corrected for the number of tags (Benjamini and Hochberg 1995)"}
    )
    significant = fields.Boolean(metadata={"description": "q is at most 0.05"})
    defining = fields.Boolean(metadata={"description": "the audience's condition itself asks for this tag"})


class FrequentTagsOut(Schema):
    """What the members of an audience have in common."""

    as_of = time_field()
    count = fields.Integer()
    base = fields.Integer(metadata={"description": "customers there are"})
    tested = fields.Integer(metadata={"description": "tags that enough members have"})
    items = fields.List(fields.Nested(FrequentTagOut))


class GrowthQuery(Schema):
    """How far back."""

    days = fields.Integer(load_default=30, validate=Range(1, DAYS_MAX))


class GrowthDayOut(Schema):
    """One look at an audience."""

    day = fields.Date(metadata={"description": "in the corp's zone"})
    count = fields.Integer(allow_none=True)
    joined = fields.Integer(
        allow_none=True, metadata={"description": "who did not belong at the look before"}
    )
    left = fields.Integer(allow_none=True)
    since = fields.Date(allow_none=True, metadata={"description": "day of the look before"})
    version = fields.Integer(metadata={"description": "of the condition; another one explains a jump"})
    problem = fields.String(allow_none=True)
    at = time_field()


class GrowthOut(Schema):
    """Looks, oldest first."""

    items = fields.List(fields.Nested(GrowthDayOut))
