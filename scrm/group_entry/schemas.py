"""Group codes and entry welcomes as the API shows and takes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from scrm.group_entry.models import EntryState, GroupSource
from scrm.group_entry.service.group_codes import GROUPS_MAX
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import AttachmentIn, Utf8Length

REMARK_LENGTH = 30  # of a join way; WeCom cuts what is longer (wecom-api.md section 4.8)
ROOM_NAME_LENGTH = 40  # same section
NAME_LENGTH = 100
TAGS_MAX = 50
CAP_MAX = 500  # members of the largest customer group
TEXT_BYTES = 3000  # of a template (section 4.6)
PERIOD_DAYS = 366
ASSIGN_MAX = 1000


class CodeGroupIn(Schema):
    """One group behind a code."""

    group_id = fields.Integer(required=True)
    cap = fields.Integer(
        allow_none=True, validate=Range(1, CAP_MAX), metadata={"description": "null: the code's"}
    )


class CodeGroupOut(Schema):
    """One group behind a code as it stands."""

    group_id = fields.Integer()
    chat_id = fields.String()
    name = fields.String(allow_none=True)
    status = fields.String()
    members = fields.Integer(metadata={"description": "everybody in it now, staff too"})
    cap = fields.Integer(allow_none=True)
    effective_cap = fields.Integer()
    source = fields.Enum(GroupSource, by_value=True)
    full_at = time_field(allow_none=True)
    takes_people = fields.Boolean(
        metadata={"description": "it is one of the up to five WeCom lets people into"}
    )


def _groups(**kwargs: Any) -> fields.List[Any]:
    problem = f"must be 1 to {GROUPS_MAX} groups"
    kwargs["metadata"] = {"description": "in the order in which they fill; WeCom is given five at a time"}
    return fields.List(fields.Nested(CodeGroupIn), validate=Length(1, GROUPS_MAX, error=problem), **kwargs)


class GroupCodeFields(Schema):
    """What can be said about a group code."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    groups = _groups()
    cap = fields.Integer(
        validate=Range(1, CAP_MAX), metadata={"description": "members at which a group is taken out"}
    )
    auto_create_room = fields.Boolean(
        metadata={"description": "when all are full, WeCom makes the next group"}
    )
    room_base_name = fields.String(allow_none=True, validate=Length(1, ROOM_NAME_LENGTH))
    room_base_id = fields.Integer(allow_none=True, validate=Range(1, 10**9))
    remark = fields.String(allow_none=True, validate=Length(max=REMARK_LENGTH))
    tag_ids = fields.List(fields.Integer(), validate=Length(max=TAGS_MAX))
    entry_welcome_id = fields.Integer(allow_none=True)


class GroupCodeIn(GroupCodeFields):
    """A new group code."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))
    groups = _groups(required=True)


class GroupCodeOut(GroupCodeFields):
    """A group code as it stands."""

    id = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"description": "WeCom's state parameter, made by us"})
    status = fields.Enum(EntryState, by_value=True, required=True)
    groups = fields.List(fields.Nested(CodeGroupOut))
    config_id = fields.String(allow_none=True)
    qr_code = fields.String(allow_none=True, metadata={"description": "address of WeCom's picture"})
    qr_error = fields.String(allow_none=True, metadata={"description": "why the picture could not be read"})
    full_at = time_field(allow_none=True, metadata={"description": "since when no group has room"})
    drifted_at = time_field(
        allow_none=True, metadata={"description": "WeCom holds something else; it is set right"}
    )
    error = fields.String(allow_none=True, metadata={"description": "why WeCom refused, errcode first"})
    effect_id = fields.Integer(allow_none=True, metadata={"description": "the call under way"})
    joins = fields.Integer(metadata={"description": "people who came through it"})
    created_at = time_field()
    updated_at = time_field()


class GroupCodeQuery(PageQuery):
    """Which codes to list."""

    status = fields.Enum(EntryState, by_value=True)
    full = fields.Boolean()


class GroupCodePictureQuery(Schema):
    """How to draw a QR code."""

    size = fields.Integer(load_default=600, validate=Range(100, 4000), metadata={"description": "pixels"})
    error = fields.String(
        load_default="m",
        validate=OneOf(("l", "m", "q", "h")),
        metadata={"description": "level of correction: 7, 15, 25 or 30 % of the picture may be covered"},
    )


class PeriodQuery(Schema):
    """A time span; by default the last 30 days."""

    since = time_field()
    until = time_field()

    @validates_schema
    def _in_order(self, data: Mapping[str, datetime], **_: Any) -> None:
        since, until = data.get("since"), data.get("until")
        if since and until and not 0 < (until - since).total_seconds() <= PERIOD_DAYS * 86400:
            raise ValidationError(f"must lie after since, by at most {PERIOD_DAYS} days", "until")


class GroupCodeFiguresOut(Schema):
    """What came of joins."""

    joins = fields.Integer()
    present = fields.Integer(metadata={"description": "of these, still there"})
    left_24h = fields.Integer(metadata={"description": "of these, gone again within 24 hours"})
    left_7d = fields.Integer(metadata={"description": "of these, gone again within 7 days"})
    customers = fields.Integer(metadata={"description": "of these, followed by a member now"})


class GroupCodeGroupFiguresOut(GroupCodeFiguresOut):
    """The figures of one group."""

    group_id = fields.Integer()


class GroupCodeDayFiguresOut(GroupCodeGroupFiguresOut):
    """The figures of one group for who joined on one day of the corp's zone."""

    day = fields.Date()


class GroupCodeStatisticsOut(Schema):
    """The figures of one code."""

    since = time_field()
    until = time_field()
    total = fields.Nested(GroupCodeFiguresOut)
    groups = fields.List(fields.Nested(GroupCodeGroupFiguresOut))
    days = fields.List(fields.Nested(GroupCodeDayFiguresOut))


class GroupCodeRowOut(GroupCodeFiguresOut):
    """The figures of one code among all."""

    group_code_id = fields.Integer()
    name = fields.String()
    status = fields.Enum(EntryState, by_value=True)
    full_at = time_field(allow_none=True)
    groups = fields.Integer()
    open_groups = fields.Integer()


class GroupCodesOverviewOut(Schema):
    """The figures of all codes."""

    items = fields.List(fields.Nested(GroupCodeRowOut))


class EntryWelcomeFields(Schema):
    """What people who come into a group are told."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    text = fields.String(
        allow_none=True,
        validate=Utf8Length(TEXT_BYTES),
        metadata={"description": "%NICKNAME% is filled in by WeCom; at most 3000 bytes"},
    )
    attachment = fields.Nested(
        AttachmentIn, allow_none=True, metadata={"description": "one, beside the text"}
    )


class EntryWelcomeIn(EntryWelcomeFields):
    """A new entry welcome."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))
    notify = fields.Boolean(metadata={"description": "WeCom tells members that there is a new template"})


class EntryWelcomeOut(EntryWelcomeFields):
    """An entry welcome as it stands."""

    id = fields.Integer(required=True)
    notify = fields.Boolean()
    status = fields.Enum(EntryState, by_value=True, required=True)
    template_id = fields.String(allow_none=True)
    app = fields.String(
        allow_none=True, metadata={"description": "the app that made it, the only one to change it"}
    )
    error = fields.String(allow_none=True)
    drift = fields.List(
        fields.String(), allow_none=True, metadata={"description": "parts that differ at WeCom"}
    )
    effect_id = fields.Integer(allow_none=True)
    groups = fields.Integer(metadata={"description": "how many groups it is meant for"})
    waiting = fields.Integer(metadata={"description": "of these, how many nobody attached it to yet"})
    created_at = time_field()
    updated_at = time_field()


class EntryWelcomeQuery(PageQuery):
    """Which entry welcomes to list."""

    status = fields.Enum(EntryState, by_value=True)


class EntryWelcomeAssignIn(Schema):
    """The groups an entry welcome is meant for: all of them."""

    group_ids = fields.List(fields.Integer(), required=True, validate=Length(max=ASSIGN_MAX))


class EntryWelcomeAttachedIn(Schema):
    """Whether the template is attached to the group in the client."""

    attached = fields.Boolean(load_default=True)


class WelcomeGroupQuery(PageQuery):
    """Which groups to list."""

    entry_welcome_id = fields.Integer()
    owner_staff_id = fields.Integer()
    waiting = fields.Boolean(metadata={"description": "true: nobody attached it yet"})


class WelcomeGroupOut(Schema):
    """A group and the template it is meant to say."""

    group_id = fields.Integer()
    group = fields.String(allow_none=True)
    owner_staff_id = fields.Integer(allow_none=True)
    owner_userid = fields.String(allow_none=True)
    entry_welcome_id = fields.Integer()
    entry_welcome = fields.String()
    status = fields.Enum(EntryState, by_value=True)
    assigned_at = time_field()
    told_at = time_field(allow_none=True, metadata={"description": "when its owner was asked to attach it"})
    attached_at = time_field(allow_none=True)
    attached_by = fields.String(allow_none=True)


class WaitingOwnerOut(Schema):
    """An owner with groups that still wait."""

    owner_staff_id = fields.Integer(allow_none=True)
    owner_userid = fields.String(allow_none=True)
    waiting = fields.Integer()
    since = time_field()


class WaitingOwnersOut(Schema):
    """Owners with groups that still wait."""

    items = fields.List(fields.Nested(WaitingOwnerOut))
