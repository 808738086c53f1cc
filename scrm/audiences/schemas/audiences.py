"""Audiences as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from scrm.audiences.models import AudienceKind
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.kernel.storable import BIGGEST
from tags.rules.schemas import LeafOut, SampleOut, WordsOut

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 1000
ROWS_MAX = 1000  # customers of one call
SAMPLE_DEFAULT, SAMPLE_MAX = 20, 100


def condition_field(**kwargs: Any) -> fields.Dict:
    """A field that holds a condition tree; services check it."""
    told = {"description": "a condition tree; its JSON schema is at /rules/condition-schema"}
    return fields.Dict(keys=fields.String(), metadata=told, **kwargs)


def _name(**kwargs: Any) -> fields.String:
    return fields.String(validate=[Length(1, NAME_LENGTH), _clean], **kwargs)


def _clean(value: str) -> None:
    if value != value.strip() or not value.isprintable():
        raise ValidationError("must not begin or end with a space or hold control characters")


def _description(**kwargs: Any) -> fields.String:
    return fields.String(validate=Length(max=DESCRIPTION_LENGTH), **kwargs)


def confirm_field() -> fields.String:
    """A field for the token that a refusal ``rule-storm`` named."""
    told = {"description": "the token of a refusal `rule-storm`: yes to rules touching so many customers"}
    return fields.String(validate=Length(max=64), metadata=told)


class AudienceIn(Schema):
    """A new audience: a tree with its condition, or an empty list."""

    kind = fields.Enum(AudienceKind, by_value=True, load_default=AudienceKind.TREE)
    name = _name(required=True)
    description = _description(load_default="")
    condition = condition_field()


class AudienceChangeIn(Schema):
    """What to change of an audience."""

    name = _name()
    description = _description()
    condition = condition_field()
    confirm = fields.String(
        validate=Length(max=64),
        metadata={
            "description": "the token of a refusal `rule-storm`: yes to rules touching so many customers"
        },
    )


class AudienceUserOut(Schema):
    """Something unfinished that names the audience."""

    kind = fields.String(metadata={"description": "rule | audience | transfer_plan | broadcast"})
    id = fields.Integer()
    name = fields.String()


class AudienceOut(Schema):
    """An audience."""

    id = fields.Integer()
    kind = fields.Enum(AudienceKind, by_value=True)
    name = fields.String()
    description = fields.String()
    condition = fields.Dict(allow_none=True)
    words = fields.Nested(WordsOut, allow_none=True)
    version = fields.Integer(metadata={"description": "counts conditions; give it as If-Match to a change"})
    made_by = fields.String()
    archived_at = time_field(allow_none=True)
    created_at = time_field()
    updated_at = time_field()


class LastLookOut(Schema):
    """The newest daily count."""

    day = fields.Date(metadata={"description": "in the corp's zone"})
    count = fields.Integer()


class AudienceListedOut(AudienceOut):
    """An audience in a list."""

    last_look = fields.Nested(
        LastLookOut,
        allow_none=True,
        metadata={"description": "empty before the first, and for keys with a data scope"},
    )


class AudienceDetailOut(AudienceOut):
    """An audience with who uses it."""

    used_by = fields.List(fields.Nested(AudienceUserOut))


class AudienceQuery(PageQuery):
    """Which audiences to list."""

    kind = fields.Enum(AudienceKind, by_value=True)
    archived = fields.Boolean()
    q = fields.String(validate=Length(1, NAME_LENGTH), metadata={"description": "part of the name"})


class AudienceHistoryOut(Schema):
    """Who changed what."""

    id = fields.Integer()
    at = time_field()
    by = fields.String()
    version = fields.Integer(metadata={"description": "of the audience after the change"})
    changes = fields.Dict(metadata={"description": "field → [before, after]; members → added, removed"})
    words = fields.List(
        fields.Nested(WordsOut),
        allow_none=True,
        metadata={"description": "of the conditions before and after"},
    )


class AudienceCountOut(Schema):
    """How many belong."""

    count = fields.Integer()
    as_of = time_field()
    exact = fields.Boolean()


class AudiencePreviewIn(Schema):
    """A condition to try out."""

    condition = condition_field(required=True)
    sample = fields.Integer(load_default=SAMPLE_DEFAULT, validate=Range(0, SAMPLE_MAX))


class AudiencePreviewOut(AudienceCountOut):
    """How many it holds for, and some of them with reasons."""

    words = fields.Nested(WordsOut)
    samples = fields.List(fields.Nested(SampleOut))


class AudienceMemberOut(Schema):
    """A customer who belongs, and why."""

    customer_id = fields.Integer()
    external_userid = fields.String()
    name = fields.String(allow_none=True)
    leaves = fields.List(fields.Nested(LeafOut))
    source = fields.String(metadata={"description": "of a static list: what put the customer on it"})
    added_at = time_field()


class AudienceMemberRowIn(Schema):
    """One customer, by one of both ids."""

    customer_id = fields.Integer(strict=True, validate=Range(1, BIGGEST))
    external_userid = fields.String(validate=Length(1, 64))

    @validates_schema
    def _one_id(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(data) != 1:
            raise ValidationError("is required, or external_userid, and not both", "customer_id")


class AudienceMembersIn(Schema):
    """Customers to put on a list or to take off it."""

    customers = fields.List(fields.Nested(AudienceMemberRowIn), required=True, validate=Length(1, ROWS_MAX))


class AudienceMemberResultOut(Schema):
    """What became of one row."""

    index = fields.Integer(metadata={"description": "place of the row, from 0"})
    status = fields.String(validate=OneOf(("added", "removed", "unchanged", "refused")))
    customer_id = fields.Integer()
    problem = fields.Dict(keys=fields.String(), values=fields.String())


class AudienceMembersOut(Schema):
    """What became of all rows."""

    results = fields.List(fields.Nested(AudienceMemberResultOut))


class AudienceExplainOut(Schema):
    """Whether a customer belongs, node by node."""

    audience_id = fields.Integer()
    customer_id = fields.Integer()
    at = time_field()
    belongs = fields.Boolean()
    condition = fields.Dict(
        metadata={
            "description": "the tree with path, words and holds at every node; empty holds: this key may not ask it"
        }
    )


class CustomerAudienceOut(Schema):
    """An audience that a customer belongs to."""

    id = fields.Integer()
    name = fields.String()
    kind = fields.Enum(AudienceKind, by_value=True)


class CustomerAudiencesOut(Schema):
    """Audiences by name."""

    items = fields.List(fields.Nested(CustomerAudienceOut))
