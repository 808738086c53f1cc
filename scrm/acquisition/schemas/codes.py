"""Channel codes and their groups as the API shows and takes them."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range

from scrm.acquisition.models import CodeState, DutyReason, WhenOver
from scrm.acquisition.schemas.slots import (
    ChannelCodeCapIn,
    RosterDateIn,
    RosterSlotIn,
    WeekSlotIn,
    WelcomeSlotIn,
    department_list,
    slot_list,
    staff_list,
)
from scrm.kernel.schemas import PageQuery, Schema, time_field

REMARK_LENGTH = 30  # of a contact way (wecom-api.md section 4.4)
TAGS_MAX = 50
NAME_LENGTH = 100
RULE_LENGTH = 100
BLOCKED_MAX = 200
BLOCKED_LENGTH = 50
FORTNIGHT = 14 * 24 * 3600  # seconds; longest life of a temporary code and of its chat
CODES_MAX = 500


def _seconds(words: str) -> fields.Integer:
    return fields.Integer(
        allow_none=True, validate=Range(1, FORTNIGHT), metadata={"description": f"seconds {words}"}
    )


class ChannelCodeFields(Schema):
    """What can be said about a channel code."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    group_id = fields.Integer(allow_none=True)
    staff_ids = staff_list(metadata={"description": "who is added; several: WeCom picks one each time"})
    department_ids = department_list(metadata={"description": "everybody in and below them serves too"})
    use_party = fields.Boolean(
        metadata={"description": "WeCom expands the departments; it then knows no caps"}
    )
    slots = slot_list(RosterSlotIn, metadata={"description": "who serves instead, by weekday and time"})
    dates = slot_list(
        RosterDateIn, metadata={"description": "who serves instead on these dates; before slots"}
    )
    backup_staff_ids = staff_list(
        metadata={"description": "who serves when nobody else can; only caps bind them"}
    )
    daily_cap = fields.Integer(
        allow_none=True, validate=Range(1, 100_000), metadata={"description": "adds per member and day"}
    )
    caps = fields.List(fields.Nested(ChannelCodeCapIn), validate=Length(max=500))
    tag_ids = fields.List(fields.Integer(), validate=Length(max=TAGS_MAX))
    welcome_id = fields.Integer(allow_none=True)
    welcome_slots = slot_list(WelcomeSlotIn)
    remark_rule = fields.String(
        allow_none=True,
        validate=Length(max=RULE_LENGTH),
        metadata={
            "description": "the customer's remark: {name}, {code}, {date} (MMDD), {staff}; 20 characters"
        },
    )
    blocked_names = fields.List(
        fields.String(validate=Length(1, BLOCKED_LENGTH)),
        validate=Length(max=BLOCKED_MAX),
        metadata={"description": "nicknames that are not welcomed: found anywhere, or with * the whole name"},
    )
    remark = fields.String(
        allow_none=True,
        validate=Length(max=REMARK_LENGTH, error=f"must be at most {REMARK_LENGTH} characters"),
        metadata={"description": "remark of the contact way itself"},
    )
    skip_verify = fields.Boolean(metadata={"description": "customers need not be approved"})
    accept_slots = slot_list(
        WeekSlotIn, metadata={"description": "skip_verify holds in these slots only; none: always"}
    )
    is_temp = fields.Boolean(
        metadata={
            "description": "temporary session of one member, over after one add; WeCom gives it to some trades only"
        }
    )
    expires_in = _seconds("until a temporary code ends; WeCom's default is 7 days")
    chat_expires_in = _seconds("until its chat ends; WeCom's default is 24 hours")
    unionid = fields.String(allow_none=True, validate=Length(1, 64))
    valid_until = time_field(allow_none=True)
    when_over = fields.Enum(WhenOver, by_value=True)


class ChannelCodeIn(ChannelCodeFields):
    """A new channel code."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))


class ChannelCodeOut(ChannelCodeFields):
    """A channel code as it stands."""

    id = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"description": "WeCom's state parameter, made by us"})
    status = fields.Enum(CodeState, by_value=True, required=True)
    config_id = fields.String(allow_none=True)
    qr_code = fields.String(allow_none=True, metadata={"description": "address of WeCom's picture"})
    qr_content = fields.String(allow_none=True, metadata={"description": "what a scanner reads in it"})
    qr_error = fields.String(allow_none=True)
    on_duty = fields.List(fields.Integer(), metadata={"description": "who serves now"})
    on_duty_party = fields.List(fields.Integer(), metadata={"description": "departments that serve now"})
    duty_reason = fields.Enum(DutyReason, by_value=True, allow_none=True)
    accepts_now = fields.Boolean(metadata={"description": "skip_verify as it holds now"})
    check_at = time_field(allow_none=True, metadata={"description": "when this may change by itself"})
    drift = fields.Dict(
        allow_none=True, metadata={"description": "what somebody changed at WeCom, ours and theirs"}
    )
    error = fields.String(allow_none=True, metadata={"description": "why WeCom refused, errcode first"})
    effect_id = fields.Integer(allow_none=True, metadata={"description": "the call under way"})
    adds = fields.Integer(metadata={"description": "adds through it, by the staff of your data scope"})
    created_at = time_field()
    updated_at = time_field()


class ChannelCodeQuery(PageQuery):
    """Which codes to list."""

    status = fields.Enum(CodeState, by_value=True)
    group_id = fields.Integer(metadata={"description": "0: those in no group"})
    staff_id = fields.Integer(metadata={"description": "codes this member serves, now or at some time"})
    q = fields.String(validate=Length(1, NAME_LENGTH), metadata={"description": "part of the name"})
    drifted = fields.Boolean()


class ChannelCodeFolderFields(Schema):
    """A folder of channel codes."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))


class ChannelCodeFolderOut(ChannelCodeFolderFields):
    """A folder as it stands."""

    id = fields.Integer(required=True)
    position = fields.Integer(metadata={"description": "smaller is further up"})
    codes = fields.Integer()
    created_at = time_field()
    updated_at = time_field()


class ChannelCodeFolderList(Schema):
    """All folders, in order."""

    items = fields.List(fields.Nested(ChannelCodeFolderOut), required=True)


class ChannelCodeFolderOrderIn(Schema):
    """The order of folders; those not named come after them, in their old order."""

    ids = fields.List(fields.Integer(), required=True, validate=Length(1, CODES_MAX))


class ChannelCodesMoveIn(Schema):
    """Codes that go into a folder; null: into none."""

    code_ids = fields.List(fields.Integer(), required=True, validate=Length(1, CODES_MAX))
    group_id = fields.Integer(required=True, allow_none=True)


class FoundWayQuery(PageQuery):
    """Which contact ways of WeCom to list."""

    adopted = fields.Boolean()
    gone = fields.Boolean()


class FoundWayOut(Schema):
    """A contact way that WeCom showed and that was none of our codes."""

    config_id = fields.String(required=True)
    details = fields.Dict(metadata={"description": "contact_way as WeCom shows it"})
    gone_at = time_field(allow_none=True)
    channel_code_id = fields.Integer(allow_none=True, metadata={"description": "adopted as"})
    created_at = time_field()
    updated_at = time_field()


class WaysAdoptIn(Schema):
    """Contact ways that become channel codes."""

    config_ids = fields.List(fields.String(), required=True, validate=Length(1, CODES_MAX))
    group_id = fields.Integer(allow_none=True)


class ChannelCodeDriftIn(Schema):
    """Which side is right where somebody changed a code at WeCom."""

    keep = fields.String(required=True, validate=OneOf(("ours", "wecom")))


class ChannelCodePictureQuery(Schema):
    """How to draw a QR code."""

    size = fields.Integer(load_default=600, validate=Range(100, 4000), metadata={"description": "pixels"})
    error = fields.String(
        load_default="m",
        validate=OneOf(("l", "m", "q", "h")),
        metadata={"description": "level of correction: 7, 15, 25 or 30 % of the picture may be covered"},
    )
