"""What the API says about staff."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length

from scrm.kernel.schemas import PageQuery, Schema, time_field


class StaffQuery(PageQuery):
    """Filters of the list of staff."""

    q = fields.String(
        validate=Length(1, 64), metadata={"description": "start of the name or userid, ignoring case"}
    )
    department_id = fields.Integer(metadata={"description": "with all departments below it"})
    follows_customers = fields.Boolean(metadata={"description": "has the customer-contact feature"})
    left = fields.Boolean(metadata={"description": "has left the corp"})


class MembershipOut(Schema):
    """A department of a member."""

    id = fields.Integer(required=True)
    name = fields.String(allow_none=True)
    is_leader = fields.Boolean(required=True)


class StaffOut(Schema):
    """A member of staff."""

    id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    alias = fields.String(allow_none=True)
    position = fields.String(allow_none=True)
    status = fields.Integer(
        allow_none=True, metadata={"description": "1 active, 2 disabled, 4 not activated, 5 left"}
    )
    main_department_id = fields.Integer(allow_none=True)
    departments = fields.List(fields.Nested(MembershipOut), required=True)
    follows_customers = fields.Boolean(required=True)
    left_at = time_field(allow_none=True)
    refreshed_at = time_field(allow_none=True)


class DepartmentOut(Schema):
    """A department of the corp."""

    id = fields.Integer(required=True, metadata={"description": "WeCom's own id; 1 is the corp"})
    name = fields.String(allow_none=True)
    parent_id = fields.Integer(allow_none=True)
    position = fields.Integer(required=True, metadata={"description": "larger ones stand first"})


class DepartmentList(Schema):
    """Every department: a tree is drawn from all of it."""

    items = fields.List(fields.Nested(DepartmentOut), required=True)
