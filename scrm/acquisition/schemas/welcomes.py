"""Welcome messages and welcomes as the API shows and takes them."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length

from scrm.acquisition.models import WelcomeOutcome
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import message_attachments, message_text

NAME_LENGTH = 100


class WelcomeMessageFields(Schema):
    """What a new customer is told."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    text = message_text(metadata={"description": "{customer}, {staff} and {corp} are filled in"})
    attachments = message_attachments()
    staff_ids = fields.List(fields.Integer(), metadata={"description": "for new customers of these members"})
    is_default = fields.Boolean(metadata={"description": "for everybody else; the last one set wins"})
    enabled = fields.Boolean()


class WelcomeMessageIn(WelcomeMessageFields):
    """A new welcome message."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))


class WelcomeMessageOut(WelcomeMessageFields):
    """A welcome message as it stands."""

    id = fields.Integer(required=True)
    created_at = time_field()
    updated_at = time_field()


class WelcomeQuery(PageQuery):
    """Which welcomes to list."""

    outcome = fields.Enum(WelcomeOutcome, by_value=True)
    staff_id = fields.Integer()
    customer_id = fields.Integer()
    channel_code_id = fields.Integer()


class WelcomeOut(Schema):
    """What became of one welcome."""

    id = fields.Integer(required=True)
    customer_id = fields.Integer()
    staff_id = fields.Integer()
    channel_code_id = fields.Integer(allow_none=True)
    welcome_id = fields.Integer(allow_none=True)
    effect_id = fields.Integer(allow_none=True)
    outcome = fields.Enum(WelcomeOutcome, by_value=True)
    reason = fields.String(allow_none=True, metadata={"description": "why it was missed or not given"})
    text_only = fields.Boolean(metadata={"description": "its attachments were left out"})
    event_at = time_field()
    deadline_at = time_field()
    finished_at = time_field(allow_none=True)
    seconds = fields.Float(allow_none=True, metadata={"description": "from the add to WeCom's acceptance"})
