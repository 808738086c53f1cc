"""What the API shows of effects."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.effects import Resolution
from scrm.wecom.errors import explain, kind_of
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.queries import shown_payload
from scrm.wecom.registry import kinds


class EffectQuery(PageQuery):
    """Which effects to list."""

    state = fields.String(validate=OneOf([state.value for state in EffectState]))
    kind = fields.String(validate=OneOf(sorted(kinds())))
    errcode = fields.Integer()
    subject = fields.String(validate=Length(1, 200), metadata={"example": "follow:12"})


class EffectSchema(Schema):
    """A change asked for at WeCom and what became of it."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    key = fields.String(required=True)
    app = fields.String(required=True)
    queue = fields.String(required=True)
    state = fields.Enum(EffectState, by_value=True, required=True)
    subject = fields.String(allow_none=True, required=True)
    attempts = fields.Integer(required=True)
    errcode = fields.Integer(allow_none=True, required=True)
    error = fields.String(allow_none=True, required=True)
    reason = fields.Method("_reason", metadata={"description": "explains errcode; null without one"})
    created_at = time_field(required=True)
    sent_at = time_field(allow_none=True, required=True)
    next_at = time_field(allow_none=True, required=True)
    deadline_at = time_field(allow_none=True, required=True)
    finished_at = time_field(allow_none=True, required=True)

    def _reason(self, effect: Effect) -> dict[str, Any] | None:
        if effect.errcode is None:
            return None
        row = explain(effect.errcode)
        if row is None:
            return {
                "kind": kind_of(effect.errcode),
                "en": "unknown errcode",
                "zh": "未知错误码",
                "page": None,
            }
        return {"kind": row.kind, "en": row.en, "zh": row.zh, "page": row.page}


class EffectDetailSchema(EffectSchema):
    """One effect with what was sent and what WeCom made of it."""

    payload = fields.Function(shown_payload, metadata={"description": "as sent; usable codes are masked"})
    result = fields.Dict(allow_none=True, required=True)


class ResolutionSchema(Schema):
    """What a person found out about an unknown effect."""

    outcome = fields.Enum(Resolution, by_value=True, required=True)
