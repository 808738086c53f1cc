"""Filling of lists as the API takes and shows it."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Range

from scrm.audiences.models import FillState
from scrm.audiences.schemas.audiences import condition_field, confirm_field
from scrm.kernel.schemas import Schema, time_field
from scrm.kernel.storable import BIGGEST


class AudienceFillIn(Schema):
    """Whom to copy onto a list, as it stands now: another audience's members, or everybody a condition holds for."""

    audience_id = fields.Integer(strict=True, validate=Range(1, BIGGEST))
    condition = condition_field()
    confirm = confirm_field()

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(data.keys() - {"confirm"}) != 1:
            raise ValidationError("is required, or condition, and not both", "audience_id")


class AudienceFillOut(Schema):
    """A copy onto a list that goes on in the background, and how far it is."""

    id = fields.Integer()
    audience_id = fields.Integer()
    condition = fields.Dict(metadata={"description": "who is put on the list"})
    state = fields.Enum(FillState, by_value=True)
    total = fields.Integer(
        allow_none=True, metadata={"description": "customers it held for, once that is worked out"}
    )
    done = fields.Integer(metadata={"description": "of them, those looked at"})
    added = fields.Integer(metadata={"description": "of those, who was not on the list before"})
    error = fields.String(allow_none=True)
    made_by = fields.String()
    frozen_at = time_field(allow_none=True)
    finished_at = time_field(allow_none=True)
    created_at = time_field()


class AudienceFilledOut(Schema):
    """How many are new on the list; with 202 the fill that goes on."""

    added = fields.Integer()
    fill = fields.Nested(AudienceFillOut)
