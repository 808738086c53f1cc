"""What the API says about traits."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range, Regexp

from scrm.kernel.schemas import Schema, time_field
from scrm.portraits.traits.queries import shown
from scrm.portraits.traits.service.definition import OPERATORS, Measure


class FilterSchema(Schema):
    """A comparison that must hold of a row; one of a value that the row does not have does not hold."""

    field = fields.String(required=True, validate=Length(1, 64))
    op = fields.String(required=True, validate=OneOf([*OPERATORS, "in"]))
    value = fields.Raw(
        required=True, metadata={"description": "one value, or a list of up to 100 with op in"}
    )


class DefinitionSchema(Schema):
    """What a trait is worked out of, and how."""

    source = fields.String(required=True, validate=OneOf(["events", "order_lines"]))
    event_type = fields.String(
        load_default=None, allow_none=True, metadata={"description": "of events: its key"}
    )
    measure = fields.String(required=True, validate=OneOf([str(one) for one in Measure]))
    field = fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "a property of the event type, or at; of order lines: amount, product, ..."},
    )
    filters = fields.List(fields.Nested(FilterSchema), load_default=list, validate=Length(max=10))
    window_days = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=Range(1, 36_500),
        metadata={"description": "only rows of today and so many days before, in the corp's zone; null: all"},
    )


class TraitIn(Schema):
    """A trait to make."""

    key = fields.String(required=True, validate=Regexp(r"^[a-z][a-z0-9_]{0,63}\Z"))
    name_zh = fields.String(required=True, validate=Length(1, 80))
    name_en = fields.String(required=True, validate=Length(1, 80))
    definition = fields.Nested(DefinitionSchema, required=True)


class TraitChange(Schema):
    """What of a trait to change."""

    name_zh = fields.String(validate=Length(1, 80))
    name_en = fields.String(validate=Length(1, 80))
    definition = fields.Nested(DefinitionSchema)


class TraitOut(TraitIn):
    """A trait."""

    id = fields.Integer(required=True)
    changed_at = time_field(required=True)
    applied_at = time_field(
        required=True, allow_none=True, metadata={"description": "before changed_at: being worked out"}
    )
    problem = fields.String(
        required=True, allow_none=True, metadata={"description": "why it cannot be worked out any more"}
    )


class TraitValueOut(Schema):
    """What a trait is of a person."""

    person_id = fields.Integer(required=True)
    value = fields.Function(shown, required=True)
    computed_at = time_field(required=True)


class PersonTraitOut(Schema):
    """A trait of one person."""

    trait_id = fields.Integer(required=True)
    key = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    value = fields.Raw(required=True)
    computed_at = time_field(required=True)


class PersonTraitsOut(Schema):
    """All traits that a person has."""

    items = fields.List(fields.Nested(PersonTraitOut), required=True)
