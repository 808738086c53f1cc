"""What the API says about alerts."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.alerts.models import AlertState
from scrm.kernel.schemas import PageQuery, Schema, time_field


class AlertQuery(PageQuery):
    """Filters of the list of alerts."""

    kind = fields.String(
        validate=Length(1, 64), metadata={"description": "loss, mass_delete, sync_stopped, …"}
    )
    state = fields.String(validate=OneOf([state.value for state in AlertState]))
    receiver_id = fields.Integer(metadata={"description": "member of staff it goes to"})
    urgent = fields.Boolean()
    since = time_field(metadata={"description": "created at or after"})
    until = time_field(metadata={"description": "created before"})


class AlertOut(Schema):
    """One thing told to one member."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    key = fields.String(required=True, metadata={"description": "what happened; one per receiver"})
    receiver_id = fields.Integer(allow_none=True, metadata={"description": "empty: there is nobody to tell"})
    receiver_userid = fields.String(allow_none=True)
    receiver_name = fields.String(allow_none=True)
    zh = fields.String(required=True)
    en = fields.String(required=True)
    urgent = fields.Boolean(required=True)
    state = fields.String(required=True)
    reason = fields.String(
        allow_none=True,
        metadata={"description": "why it was not sent: muted, left, no receiver, or what WeCom said"},
    )
    due_at = time_field(required=True, metadata={"description": "not sent before, unless others go at once"})
    sent_at = time_field(allow_none=True)
    effect_id = fields.Integer(
        allow_none=True,
        metadata={"description": "its message; a failed one is sent again by retrying this effect"},
    )
    created_at = time_field(required=True)
