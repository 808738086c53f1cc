"""Messages and automatic replies as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range, Regexp

from scrm.conversations.models import Channel, Direction, MatchKind
from scrm.conversations.service.matching import END_OF_DAY, normal
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import Utf8Length

REPLY_BYTES = 2048  # kf/send_msg and message/send alike (wecom-api.md sections 6.1 and 7.5)
KEYWORDS_MAX = 100
KEYWORD_LENGTH = 100
COOLDOWN_MAX = 30 * 24 * 3600
WALL_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"


class MessageQuery(PageQuery):
    """Which messages to list."""

    staff_id = fields.Integer()
    channel = fields.Enum(Channel, by_value=True)
    direction = fields.Enum(Direction, by_value=True)


class MessagesQuery(MessageQuery):
    """Which messages of everybody to list."""

    customer_id = fields.Integer()


class MessageOut(Schema):
    """One message."""

    id = fields.Integer(required=True)
    sent_at = time_field(required=True)
    channel = fields.Enum(Channel, by_value=True, required=True)
    direction = fields.Enum(Direction, by_value=True, required=True)
    kind = fields.String(required=True, metadata={"description": "msgtype, or the name of an event"})
    text = fields.String(allow_none=True)
    media_id = fields.String(allow_none=True)
    content = fields.Dict(keys=fields.String())
    app = fields.String(allow_none=True)
    customer_id = fields.Integer(allow_none=True)
    external_userid = fields.String(allow_none=True)
    staff_id = fields.Integer(allow_none=True)
    kf_account_id = fields.Integer(allow_none=True)
    failed = fields.String(
        allow_none=True, metadata={"description": "why it did not arrive, or who recalled it"}
    )


class OfficeHours(Schema):
    """Weekly hours in the corp's zone; hours past midnight belong to the day they begin on."""

    days = fields.List(
        fields.Integer(validate=Range(1, 7)),
        required=True,
        validate=Length(min=1, max=7),
        metadata={"description": "1 is Monday"},
    )
    from_ = fields.String(
        required=True,
        data_key="from",
        attribute="from",
        validate=Regexp(rf"{WALL_TIME}\Z", error="must be HH:MM"),
    )
    to = fields.String(
        required=True,
        validate=Regexp(rf"({WALL_TIME}|{END_OF_DAY})\Z", error=f"must be HH:MM, at most {END_OF_DAY}"),
    )

    @validates_schema
    def _some_time(self, data: dict[str, Any], **_: Any) -> None:
        if data["to"] == data["from"]:
            raise ValidationError(f"must differ from `from`; a whole day is 00:00 to {END_OF_DAY}", "to")


def _not_blank(value: str) -> str:
    if not normal(value):
        raise ValidationError("may not be empty")
    return value


class AutoReplyFields(Schema):
    """What a rule says."""

    name = fields.String(validate=Length(1, 100))
    channel = fields.Enum(Channel, by_value=True)
    match = fields.Enum(MatchKind, by_value=True)
    keywords = fields.List(
        fields.String(validate=[Length(max=KEYWORD_LENGTH), _not_blank]),
        validate=Length(max=KEYWORDS_MAX),
        metadata={"description": 'with match "enters": the scenes (来源) that are greeted, none means all'},
    )
    priority = fields.Integer(validate=Range(-1000, 1000), metadata={"description": "higher decides first"})
    enabled = fields.Boolean()
    reply_text = fields.String(allow_none=True, validate=[Utf8Length(REPLY_BYTES), _not_blank])
    office_hours = fields.Nested(OfficeHours, allow_none=True)
    outside_office_hours = fields.Boolean()
    cooldown_seconds = fields.Integer(validate=Range(0, COOLDOWN_MAX))
    hand_over_to = fields.String(
        allow_none=True,
        validate=Length(1, 64),
        metadata={"description": '"pool", or the userid of a servicer'},
    )
    fallback_text = fields.String(
        allow_none=True,
        validate=[Utf8Length(REPLY_BYTES), _not_blank],
        metadata={"description": "said when nobody could take the session"},
    )


class AutoReplyIn(AutoReplyFields):
    """A new rule."""

    name = fields.String(required=True, validate=Length(1, 100))
    channel = fields.Enum(Channel, by_value=True, required=True)
    match = fields.Enum(MatchKind, by_value=True, required=True)
    keywords = fields.List(
        fields.String(validate=[Length(max=KEYWORD_LENGTH), _not_blank]),
        required=True,
        validate=Length(max=KEYWORDS_MAX),
    )


class AutoReplyOut(AutoReplyFields):
    """A rule as it stands."""

    id = fields.Integer(required=True)
    answers = fields.Integer(metadata={"description": "messages it has answered"})
    failures = fields.Integer(metadata={"description": "answers and hand-overs that did not come about"})
    last_failure = fields.String(allow_none=True, metadata={"description": "why the newest of them failed"})
    created_at = time_field()
    updated_at = time_field()


class AutoReplyQuery(PageQuery):
    """Which rules to list."""

    channel = fields.Enum(Channel, by_value=True)
    match = fields.Enum(MatchKind, by_value=True)
    enabled = fields.Boolean()
