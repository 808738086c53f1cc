"""What the API takes and tells about counts of conditions."""

from __future__ import annotations

from marshmallow import fields

from scrm.kernel.schemas import Schema


class CountIn(Schema):
    """A condition to count."""

    condition = fields.Dict(
        required=True,
        metadata={"description": "a tree of the condition language; /rules/condition-schema describes it"},
    )
    fresh = fields.Boolean(
        load_default=False,
        metadata={"description": "of this very moment, whatever that takes; not of the last seconds"},
    )


class CountOut(Schema):
    """How many customers a condition holds for."""

    count = fields.Integer(metadata={"description": "customers for whom it holds"})
    base = fields.Integer(metadata={"description": "customers there are, that this key may see"})
    as_of = fields.AwareDateTime(
        metadata={
            "description": "nothing that happened before is missing; never older than [sets] staleness_seconds"
        }
    )
    exact = fields.Boolean(metadata={"description": "it is the count of the moment of the question"})
