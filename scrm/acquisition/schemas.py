"""Channel codes, welcome messages and welcomes as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import Length

from scrm.acquisition.models import CodeState, WelcomeOutcome
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import message_attachments, message_text

REMARK_LENGTH = 30  # of a contact way (wecom-api.md section 4.4)
STAFF_MAX = 100  # members of a contact way (41041)
TAGS_MAX = 50
NAME_LENGTH = 100


def _staff(**kwargs: Any) -> fields.List[int]:
    problem = f"must be 1 to {STAFF_MAX} members of staff"
    return fields.List(fields.Integer(), validate=Length(1, STAFF_MAX, error=problem), **kwargs)


class ChannelCodeFields(Schema):
    """What can be said about a channel code."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    staff_ids = _staff(metadata={"description": "who is added; several: WeCom picks one each time"})
    tag_ids = fields.List(fields.Integer(), validate=Length(max=TAGS_MAX))
    welcome_id = fields.Integer(allow_none=True)
    remark = fields.String(
        allow_none=True,
        validate=Length(max=REMARK_LENGTH, error=f"must be at most {REMARK_LENGTH} characters"),
    )
    skip_verify = fields.Boolean(metadata={"description": "customers need not be approved"})


class ChannelCodeIn(ChannelCodeFields):
    """A new channel code."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))
    staff_ids = _staff(required=True)


class ChannelCodeOut(ChannelCodeFields):
    """A channel code as it stands."""

    id = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"description": "WeCom's state parameter, made by us"})
    status = fields.Enum(CodeState, by_value=True, required=True)
    config_id = fields.String(allow_none=True)
    qr_code = fields.String(allow_none=True)
    error = fields.String(allow_none=True, metadata={"description": "why WeCom refused, errcode first"})
    effect_id = fields.Integer(allow_none=True, metadata={"description": "the call under way"})
    adds = fields.Integer(metadata={"description": "follow relations that came through it"})
    created_at = time_field()
    updated_at = time_field()


class ChannelCodeQuery(PageQuery):
    """Which codes to list."""

    status = fields.Enum(CodeState, by_value=True)


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


class WelcomeOut(Schema):
    """What became of one welcome."""

    id = fields.Integer(required=True)
    customer_id = fields.Integer()
    staff_id = fields.Integer()
    welcome_id = fields.Integer(allow_none=True)
    effect_id = fields.Integer(allow_none=True)
    outcome = fields.Enum(WelcomeOutcome, by_value=True)
    reason = fields.String(allow_none=True, metadata={"description": "why it was missed"})
    text_only = fields.Boolean(metadata={"description": "its attachments were left out"})
    event_at = time_field()
    deadline_at = time_field()
    finished_at = time_field(allow_none=True)
    seconds = fields.Float(allow_none=True, metadata={"description": "from the add to WeCom's acceptance"})
