"""What the API says about the quality of what is known of people."""

from __future__ import annotations

from marshmallow import fields

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.people.queries.quality import Neglect


class QuestionOut(Schema):
    """What to ask next."""

    key = fields.String(required=True)
    type = fields.String(required=True)
    zh = fields.String(required=True)
    en = fields.String(required=True)
    choices = fields.List(fields.Dict())


class PersonQualityOut(Schema):
    """How complete one person is, of the fields that this key may see."""

    person_id = fields.Integer(required=True)
    completeness = fields.Float(required=True, metadata={"description": "0 to 1, weighted by worth"})
    missing = fields.List(fields.String(), required=True)
    missing_required = fields.List(fields.String(), required=True)
    questions = fields.List(
        fields.Nested(QuestionOut),
        required=True,
        metadata={"description": "two at most, the most valuable first"},
    )


class FieldQualityOut(Schema):
    """One field over the whole base."""

    key = fields.String(required=True)
    filled = fields.Integer(required=True)
    share = fields.Float(allow_none=True, required=True)
    invalid = fields.Integer(
        required=True, metadata={"description": "values found wrong by the last cleaning run"}
    )


class FiguresOut(Schema):
    """Figures of one night."""

    people = fields.Integer(required=True)
    customers = fields.Integer(required=True)
    completeness = fields.Float(allow_none=True, required=True)
    fields_ = fields.List(
        fields.Nested(FieldQualityOut), required=True, data_key="fields", attribute="fields"
    )
    likely_duplicates = fields.Integer(required=True)
    never_wrote = fields.Integer(required=True)
    left = fields.Integer(required=True)
    stale = fields.Integer(required=True)


class QualityReportOut(Schema):
    """The report of one night."""

    id = fields.Integer(required=True)
    at = time_field(required=True)
    figures = fields.Nested(FiguresOut, required=True)


class NeglectQuery(PageQuery):
    """Which contacts."""

    problem = fields.Enum(
        Neglect, by_value=True, required=True,
        metadata={"description": "never_wrote; left: nobody follows them; stale: nothing for a year"},
    )  # fmt: skip


class NeglectedOut(Schema):
    """A contact with the problem."""

    customer_id = fields.Integer(required=True)
    person_id = fields.Integer(allow_none=True, required=True)


class ProblemCountOut(Schema):
    """How many values of a field have one problem."""

    field = fields.String(required=True)
    problem = fields.String(required=True)
    values = fields.Integer(required=True)


class CleaningRunOut(Schema):
    """A cleaning run; ``ready`` is the preview, applied by hand."""

    id = fields.Integer(required=True)
    state = fields.String(required=True)
    looked_at = fields.Integer(required=True)
    by = fields.String(required=True)
    created_at = time_field(required=True)
    finished_at = time_field(allow_none=True)
    problems = fields.List(fields.Nested(ProblemCountOut))


class CleaningItemOut(Schema):
    """One value: null ``after`` means that it is taken away."""

    value_id = fields.Integer(required=True)
    person_id = fields.Integer(required=True)
    field = fields.String(required=True)
    problem = fields.String(required=True)
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)
    applied = fields.Boolean(required=True)
