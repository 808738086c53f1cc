"""What the API says about losses."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.customers.events import LostBy
from scrm.kernel.schemas import PageQuery, Schema, time_field

NOTE_CHARS = 500


class LossFilters(Schema):
    """Which losses."""

    staff_id = fields.Integer(metadata={"description": "lost by this member of staff"})
    customer_id = fields.Integer()
    lost_by = fields.String(
        validate=OneOf([side.value for side in LostBy]),
        metadata={"description": "who ended it: the member (staff) or the customer"},
    )
    since = time_field(metadata={"description": "lost at or after"})
    until = time_field(metadata={"description": "lost before"})
    channel_code_id = fields.Integer(metadata={"description": "came through this channel code"})
    state = fields.String(validate=Length(1, 64), metadata={"description": "state of the way in"})
    returned = fields.Boolean(metadata={"description": "whether the member has the customer again"})
    last_relation = fields.Boolean(metadata={"description": "whether no other member had the customer"})
    found = fields.Boolean(metadata={"description": "only a comparison with WeCom showed it"})
    alarm_id = fields.Integer(metadata={"description": "customers concerned by this alarm"})


class LossQuery(PageQuery, LossFilters):
    """Filters of the list of losses."""


class LossOut(Schema):
    """A customer who was lost by a member."""

    id = fields.Integer(required=True)
    follow_id = fields.Integer(allow_none=True)
    customer_id = fields.Integer(required=True)
    external_userid = fields.String(required=True)
    customer_name = fields.String(allow_none=True)
    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    staff_name = fields.String(allow_none=True)
    lost_by = fields.String(required=True)
    lost_at = time_field(required=True)
    found = fields.Boolean(
        required=True, metadata={"description": "no callback told it; it happened some time before lost_at"}
    )
    added_at = time_field(allow_none=True)
    stay_seconds = fields.Integer(allow_none=True)
    stay_days = fields.Integer(
        allow_none=True, metadata={"description": "midnights of the corp's zone within"}
    )
    returned_at = time_field(allow_none=True)
    state = fields.String(allow_none=True)
    channel_code_id = fields.Integer(allow_none=True)
    channel_name = fields.String(allow_none=True)
    tags = fields.Integer(required=True, metadata={"description": "enterprise tags of the relation"})
    others = fields.Integer(required=True, metadata={"description": "other members who kept the customer"})
    last_contact_at = time_field(allow_none=True)
    last_contact_by = fields.String(allow_none=True, metadata={"description": "customer or staff"})
    last_contact_staff_id = fields.Integer(allow_none=True)


class SummaryQuery(LossFilters):
    """What to count, and how to group it."""

    group_by = fields.String(load_default="day", validate=OneOf(["day", "staff", "channel"]))


class LossFiguresOut(Schema):
    """Losses in figures."""

    losses = fields.Integer(required=True)
    by_customer = fields.Integer(required=True)
    by_staff = fields.Integer(required=True)
    found = fields.Integer(required=True)
    returned = fields.Integer(required=True)
    return_rate = fields.Float(allow_none=True, metadata={"description": "0 to 1; empty without losses"})
    last_relations = fields.Integer(required=True)
    within_24_hours = fields.Integer(required=True, metadata={"description": "lost within a day of the add"})
    within_7_days = fields.Integer(required=True)
    stay_days = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "losses by days of stay"}
    )
    stay_unknown = fields.Integer(required=True)


class LossGroupOut(LossFiguresOut):
    """The same for one day, member or way in."""

    day = fields.Date()
    staff_id = fields.Integer()
    userid = fields.String()
    staff_name = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    channel_code_id = fields.Integer(allow_none=True)
    channel_name = fields.String(allow_none=True)


class LossSummaryOut(Schema):
    """Figures in all and by group; at most 1,000 groups."""

    total = fields.Nested(LossFiguresOut, required=True)
    groups = fields.List(fields.Nested(LossGroupOut), required=True)


class LossAlarmQuery(PageQuery):
    """Filters of the list of alarms."""

    staff_id = fields.Integer()
    acknowledged = fields.Boolean()
    withdrawn = fields.Boolean(
        metadata={"description": "those that late facts took back, in place of the others"}
    )
    since = time_field(metadata={"description": "lasted until this moment or longer"})
    until = time_field(metadata={"description": "began before"})


class LossAlarmOut(Schema):
    """A member deleted many customers within a short time; ``/losses?alarm_id=`` lists the customers."""

    id = fields.Integer(required=True)
    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    staff_name = fields.String(allow_none=True)
    first_at = time_field(required=True)
    crossed_at = time_field(required=True, metadata={"description": "the deletion that reached the number"})
    last_at = time_field(required=True)
    deletions = fields.Integer(required=True)
    threshold = fields.Integer(required=True)
    window_seconds = fields.Integer(required=True)
    withdrawn_at = time_field(allow_none=True)
    acknowledged_at = time_field(allow_none=True)
    acknowledged_by = fields.String(allow_none=True)
    note = fields.String(allow_none=True)
    created_at = time_field(required=True)


class AcknowledgeIn(Schema):
    """What somebody found out."""

    note = fields.String(load_default=None, validate=Length(1, NOTE_CHARS))
