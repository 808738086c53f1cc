"""Tags of customers as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length

from scrm.kernel.schemas import Schema, time_field

AT_ONCE = 50


def _ids() -> fields.List[Any]:
    problem = f"must be at most {AT_ONCE} tags"
    return fields.List(
        fields.Integer(strict=True), load_default=list, validate=Length(max=AT_ONCE, error=problem)
    )


class CustomerTagsIn(Schema):
    """Tags to set and to take away."""

    add = _ids()
    remove = _ids()
    staff_id = fields.Integer(
        load_default=None,
        allow_none=True,
        metadata={"description": "whose relation is tagged; without it, every present one"},
    )

    @validates_schema
    def _sensible(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data["add"] and not data["remove"]:
            raise ValidationError("give add, remove or both")
        if both := sorted(set(data["add"]) & set(data["remove"])):
            raise ValidationError(f"must not hold tags of add too: {both}", "remove")


class SourceOut(Schema):
    """One reason."""

    source = fields.String(metadata={"description": "wecom, manual:<actor>, rule:<id>, channel:<id>"})
    since = time_field()
    spent_at = time_field(
        allow_none=True, metadata={"description": "since when it no longer wants the tag: its days are over"}
    )


class AssignmentOut(Schema):
    """One tag on one relation."""

    tag_id = fields.Integer()
    tag = fields.String()
    group = fields.String()
    push = fields.String(metadata={"description": "wecom, or local: kept here alone"})
    staff_id = fields.Integer()
    state = fields.String(
        metadata={"description": "pending_add | active | pending_remove | failed | removed"}
    )
    error = fields.String(allow_none=True)
    effect_id = fields.Integer(allow_none=True)
    sources = fields.List(fields.Nested(SourceOut))
    overruled = fields.Boolean(
        metadata={
            "description": "rules want it, and a person took it away; it stays away until they want it anew"
        }
    )
    outranked = fields.Boolean(
        metadata={
            "description": "another tag of its exclusive group goes before it; it returns when that one goes"
        }
    )
    expired = fields.Boolean(
        metadata={"description": "the rule's days are over; it stays away until its condition holds anew"}
    )
    changed_at = time_field()


class HistoryOut(Schema):
    """One line of history."""

    at = time_field()
    tag_id = fields.Integer()
    staff_id = fields.Integer()
    change = fields.String(
        metadata={"description": "added | removed | confirmed | refused | outranked | returned | expired"}
    )
    source = fields.String()
    by = fields.String(allow_none=True, metadata={"description": "who did it, when not the source itself"})
    error = fields.String(allow_none=True)
    run_id = fields.Integer(allow_none=True)


class CustomerTagsOut(Schema):
    """Which tags a customer has, why, and how that came."""

    tags = fields.List(fields.Nested(AssignmentOut))
    history = fields.List(fields.Nested(HistoryOut), metadata={"description": "the newest 200 lines"})


class Sentence(Schema):
    """The same in both languages."""

    zh = fields.String()
    en = fields.String()


class LeafThen(Schema):
    """One leaf of the rule's condition as it was answered when the tag was set."""

    path = fields.String()
    words = fields.Nested(Sentence)
    holds = fields.Boolean(allow_none=True, metadata={"description": "empty: this key may not ask it"})
    value = fields.String(allow_none=True, metadata={"description": "what it looked at, where there is such"})


class ReasonOut(Schema):
    """One source of the tag on one relation."""

    staff_id = fields.Integer()
    state = fields.String()
    outranked = fields.Boolean()
    source = fields.String()
    since = time_field()
    spent_at = time_field(allow_none=True)
    rule_id = fields.Integer(allow_none=True)
    rule = fields.String(allow_none=True, metadata={"description": "its name"})
    version = fields.Integer(allow_none=True, metadata={"description": "of the rule, when it set the tag"})
    run_id = fields.Integer(allow_none=True, metadata={"description": "the backfill that did it, if one did"})
    at = time_field(allow_none=True, metadata={"description": "when it was set"})
    by = fields.String(allow_none=True)
    condition = fields.Nested(Sentence, allow_none=True, metadata={"description": "what that version said"})
    leaves = fields.List(fields.Nested(LeafThen))


class WhyOut(Schema):
    """Why a customer has a tag."""

    customer_id = fields.Integer()
    tag_id = fields.Integer()
    tag = fields.String()
    reasons = fields.List(fields.Nested(ReasonOut))
