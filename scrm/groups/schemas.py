"""What the API says about customer groups."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.groups.models import GroupStatus
from scrm.kernel.schemas import PageQuery, Schema, time_field


class GroupQuery(PageQuery):
    """Filters of the list of groups."""

    q = fields.String(validate=Length(1, 64), metadata={"description": "start of the name, ignoring case"})
    owner_staff_id = fields.Integer()
    status = fields.String(validate=OneOf([status.value for status in GroupStatus]))
    customer_id = fields.Integer(metadata={"description": "this customer is in it now"})


class GroupOut(Schema):
    """A customer group."""

    id = fields.Integer(required=True)
    chat_id = fields.String(required=True)
    name = fields.String(allow_none=True)
    notice = fields.String(allow_none=True)
    owner_staff_id = fields.Integer(allow_none=True)
    owner_userid = fields.String(allow_none=True)
    status = fields.String(required=True)
    members = fields.Integer(required=True, metadata={"description": "how many are in it now"})
    founded_at = time_field(allow_none=True)
    dismissed_at = time_field(allow_none=True)
    refreshed_at = time_field(allow_none=True)
    refresh_failed = fields.String(allow_none=True)


class MemberQuery(PageQuery):
    """Filters of the members of a group."""

    present = fields.Boolean(metadata={"description": "true: who is in it now; false: who left"})


class StayOut(Schema):
    """One stay of one person in a group."""

    id = fields.Integer(required=True)
    member_id = fields.String(required=True)
    member_type = fields.Integer(required=True, metadata={"description": "1 member of the corp, 2 external"})
    staff_id = fields.Integer(allow_none=True)
    customer_id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)
    group_nickname = fields.String(allow_none=True)
    join_scene = fields.Integer(allow_none=True)
    invitor_userid = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    joined_at = time_field(required=True)
    left_at = time_field(allow_none=True)
    quit_scene = fields.Integer(allow_none=True, metadata={"description": "0 left, 1 removed"})
