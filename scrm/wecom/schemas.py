"""What the API shows of effects."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from config.queues import Queue
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.choices import choices_for, question_for
from scrm.wecom.effects import Resolution
from scrm.wecom.errors import explain, kind_of
from scrm.wecom.limits_table import Only, Per
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.queries import shown_payload
from scrm.wecom.registry import kinds
from scrm.wecom.retrying import AT_ONCE


class EffectFilter(Schema):
    """Which effects."""

    state = fields.String(validate=OneOf([state.value for state in EffectState]))
    kind = fields.String(validate=OneOf(sorted(kinds())))
    errcode = fields.Integer()
    subject = fields.String(validate=Length(1, 200), metadata={"example": "follow:12"})
    app = fields.String(validate=Length(1, 200))
    queue = fields.String(validate=OneOf([queue.value for queue in Queue]))
    parked = fields.String(validate=OneOf([parked.value for parked in Parked]))
    needs_person = fields.Boolean(metadata={"description": "parked for whatever reason"})
    since = time_field(metadata={"description": "planned at or after"})
    until = time_field(metadata={"description": "planned before"})


class EffectQuery(EffectFilter, PageQuery):
    """Which effects to list."""


PARKED = (
    "why nothing more happens until a person says what: exhausted, defect, untold or person; null: no need"
)


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
    parked = fields.Enum(
        Parked, by_value=True, allow_none=True, required=True, metadata={"description": PARKED}
    )
    parked_at = time_field(allow_none=True, required=True)

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
    question = fields.Function(
        question_for, metadata={"description": "what a person has to find out, in zh and en; null: nothing"}
    )
    choices = fields.Function(
        choices_for, metadata={"description": "what may be done: a call of this API, in zh and en"}
    )


class ResolutionSchema(Schema):
    """What a person found out about an unknown effect."""

    outcome = fields.Enum(Resolution, by_value=True, required=True)


class CountSchema(Schema):
    """How many effects of one kind ended, or stand, alike."""

    kind = fields.String(required=True)
    state = fields.String(required=True)
    errcode = fields.Integer(allow_none=True, required=True)
    parked = fields.String(allow_none=True, required=True)
    effects = fields.Integer(required=True)


class CountsSchema(Schema):
    """Effects counted."""

    items = fields.List(fields.Nested(CountSchema), required=True)


class RetrySchema(Schema):
    """Which failed or parked effects to send, or tell, again; all that is given must fit."""

    ids = fields.List(fields.Integer(), validate=Length(1, AT_ONCE))
    kind = fields.String(validate=OneOf(sorted(kinds())))
    errcode = fields.Integer()
    app = fields.String(validate=Length(1, 200))
    parked = fields.Enum(Parked, by_value=True)
    since = time_field(metadata={"description": "settled at or after"})
    until = time_field(metadata={"description": "settled before"})
    dry_run = fields.Boolean(load_default=False, metadata={"description": "count only"})


class RetriedSchema(Schema):
    """What is, or would be, sent or told again."""

    ids = fields.List(fields.Integer(), required=True)
    by_kind = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    too_late = fields.Integer(required=True, metadata={"description": "their deadline has passed"})
    superseded = fields.Integer(
        required=True, metadata={"description": "a newer one of the same subject was sent since"}
    )
    more = fields.Boolean(required=True, metadata={"description": "call again for the rest"})


class LimitsQuery(Schema):
    """Whose limits."""

    api = fields.List(fields.String(validate=Length(1, 200)), metadata={"example": ["externalcontact/get"]})
    app = fields.String(validate=Length(1, 200))


class WindowSchema(Schema):
    """One figure of WeCom's and what is left of it."""

    per = fields.Enum(Per, by_value=True, required=True)
    which = fields.Enum(
        Only, by_value=True, attribute="only", required=True, metadata={"description": "calls; empty: all"}
    )
    seconds = fields.Integer(required=True)
    figure = fields.Integer(required=True)
    left = fields.Integer(required=True)
    source = fields.String(
        required=True, metadata={"description": "section of WeCom's contract, or our setting"}
    )


class DoorSchema(Schema):
    """Whether calls are tried at all."""

    closed_seconds = fields.Float(attribute="cool_seconds", required=True)
    circuit = fields.String(required=True, validate=OneOf(["closed", "open", "half-open"]))
    open_seconds = fields.Float(allow_none=True, required=True)
    pause_seconds = fields.Float(required=True)


class LimitSchema(Schema):
    """What WeCom's limits leave of one API."""

    api = fields.String(required=True)
    app = fields.String(
        allow_none=True, required=True, metadata={"description": "null: counted for the corp"}
    )
    windows = fields.List(fields.Nested(WindowSchema), required=True)
    running = fields.Integer(required=True)
    calls_at_once = fields.Integer(attribute="calls", required=True)
    door = fields.Nested(DoorSchema, required=True)


class LimitsSchema(Schema):
    """What WeCom's limits leave."""

    items = fields.List(fields.Nested(LimitSchema), required=True)
