"""Statistics of channel codes as the API shows them."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import OneOf

from scrm.kernel.schemas import PageQuery, Schema


def _count(words: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": words})


class ChannelCodeSpanQuery(PageQuery):
    """Which days of the corp's zone to look at; the last 30 when nothing is said."""

    from_ = fields.Date(data_key="from", metadata={"description": "first day"})
    to = fields.Date(metadata={"description": "last day; at most 366 days in all"})


class ChannelCodeStatisticsQuery(ChannelCodeSpanQuery):
    """Which days, and what a row is."""

    by = fields.String(load_default="day", validate=OneOf(("day", "staff")))


class ChannelCodeFiguresOut(Schema):
    """What came of the adds and welcomes of a row. Losses are counted on the day of the add they end."""

    adds = _count("scans that became adds")
    returns = _count("of these, people who had been lost before")
    lost_24h_by_customer = _count("lost within 24 hours because the customer deleted the member")
    lost_24h_by_staff = _count("lost within 24 hours because the member deleted the customer")
    lost_7d_by_customer = _count("same, within 7 days")
    lost_7d_by_staff = _count("same, within 7 days")
    welcomes_sent = _count("welcomes that WeCom took")
    welcomes_missed = _count("welcomes owed and not sent")
    welcomes_suppressed = _count("welcomes not given because of the name")


class ChannelCodeStatisticsRowOut(ChannelCodeFiguresOut):
    """One day or one member."""

    day = fields.Date()
    staff_id = fields.Integer()


class ChannelCodeStatisticsOut(Schema):
    """What came of one code."""

    from_ = fields.Date(data_key="from", required=True)
    to = fields.Date(required=True)
    total = fields.Nested(ChannelCodeFiguresOut, required=True)
    items = fields.List(fields.Nested(ChannelCodeStatisticsRowOut), required=True)


class ChannelCodeOverviewRowOut(ChannelCodeFiguresOut):
    """One code."""

    channel_code_id = fields.Integer(required=True)
    name = fields.String(required=True)


class ChannelCodeOverviewOut(Schema):
    """What came of every code, newest first."""

    from_ = fields.Date(data_key="from", required=True)
    to = fields.Date(required=True)
    items = fields.List(fields.Nested(ChannelCodeOverviewRowOut), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class ChannelCodeFairnessRowOut(Schema):
    """What one member got, and what their time on duty would have brought."""

    staff_id = fields.Integer(required=True)
    adds = fields.Integer(required=True)
    expected = fields.Float(
        required=True,
        metadata={"description": "had each newcomer gone to any of the members on duty with equal chance"},
    )
    share = fields.Float(required=True, metadata={"description": "of all adds, 0 to 1"})
    expected_share = fields.Float(required=True)
    ratio = fields.Float(allow_none=True, metadata={"description": "adds / expected; 1 is fair"})
    hours = fields.Float(required=True, metadata={"description": "on duty within the days"})


class ChannelCodeFairnessOut(Schema):
    """How evenly newcomers were given to members, their time on duty considered."""

    from_ = fields.Date(data_key="from", required=True)
    to = fields.Date(required=True)
    adds = fields.Integer(required=True)
    gini = fields.Float(
        allow_none=True,
        metadata={"description": "of the ratios: 0 all equal, near 1 one member got everybody"},
    )
    most_to_mean = fields.Float(allow_none=True, metadata={"description": "greatest ratio / mean ratio"})
    items = fields.List(fields.Nested(ChannelCodeFairnessRowOut), required=True)
