"""Acquisition links as the API shows and takes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf

from scrm.acquisition_links.models import LinkState, QuotaLevel
from scrm.acquisition_links.service.checks import RANGE_MAX
from scrm.acquisition_links.service.recording import LinkFact
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import Utf8Length

NAME_LENGTH = 100
TAGS_MAX = 50
DEPARTMENTS_MAX = 500
STATE_BYTES = 64  # WeCom cuts a customer_channel that is longer (wecom-api.md section 4.14)
PERIOD_DAYS = 366


class AcquisitionLinkFields(Schema):
    """What can be said about a link."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    staff_ids = fields.List(
        fields.Integer(), validate=Length(max=RANGE_MAX), metadata={"description": "who is added"}
    )
    department_ids = fields.List(
        fields.Integer(),
        validate=Length(max=DEPARTMENTS_MAX),
        metadata={"description": f"everybody in them too; {RANGE_MAX} people in all"},
    )
    skip_verify = fields.Boolean(metadata={"description": "customers need not be approved"})
    priority_type = fields.Integer(
        allow_none=True,
        validate=OneOf((1, 2)),
        metadata={
            "description": "who is added first: 1 whom the customer knows already, 2 priority_staff_ids"
        },
    )
    priority_staff_ids = fields.List(fields.Integer(), validate=Length(max=RANGE_MAX))
    tag_ids = fields.List(fields.Integer(), validate=Length(max=TAGS_MAX))


class AcquisitionLinkIn(AcquisitionLinkFields):
    """A new link."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))


class AcquisitionLinkOut(AcquisitionLinkFields):
    """A link as it stands."""

    id = fields.Integer(required=True)
    link_id = fields.String(allow_none=True, metadata={"description": "WeCom's id"})
    url = fields.String(allow_none=True)
    status = fields.Enum(LinkState, by_value=True, required=True)
    works = fields.Boolean(metadata={"description": "false: WeCom said that it stopped working"})
    unavailable_at = time_field(allow_none=True)
    adopted = fields.Boolean(metadata={"description": "not made here: found at WeCom"})
    app = fields.String(allow_none=True)
    error = fields.String(allow_none=True, metadata={"description": "why WeCom refused, errcode first"})
    effect_id = fields.Integer(allow_none=True, metadata={"description": "the call under way"})
    adds = fields.Integer(metadata={"description": "relations that came through it"})
    made_at = time_field(allow_none=True)
    created_at = time_field()
    updated_at = time_field()


class LinkQuery(PageQuery):
    """Which links to list."""

    status = fields.Enum(LinkState, by_value=True)


class LinkChannelFields(Schema):
    """What can be said about a channel."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    tag_ids = fields.List(fields.Integer(), validate=Length(max=TAGS_MAX))
    welcome_id = fields.Integer(
        allow_none=True, metadata={"description": "the welcome message for who comes"}
    )


class LinkChannelIn(LinkChannelFields):
    """A new channel."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))
    state = fields.String(
        validate=Utf8Length(STATE_BYTES, 1),
        metadata={"description": "customer_channel; made by us when left out"},
    )


class LinkChannelChange(LinkChannelFields):
    """A change of a channel."""

    archived = fields.Boolean(metadata={"description": "not offered any more; who still comes counts"})


class LinkChannelOut(LinkChannelFields):
    """A channel as it stands."""

    id = fields.Integer(required=True)
    acquisition_link_id = fields.Integer()
    state = fields.String()
    url = fields.String(allow_none=True, metadata={"description": "the address to give out"})
    adds = fields.Integer()
    archived_at = time_field(allow_none=True)
    created_at = time_field()
    updated_at = time_field()


class ChannelQuery(PageQuery):
    """Which channels to list."""

    archived = fields.Boolean()


class ArrivalQuery(PageQuery):
    """Which customers of a link to list."""

    link_channel_id = fields.Integer()


class LinkArrivalOut(Schema):
    """Somebody who came through a link."""

    follow_id = fields.Integer()
    customer_id = fields.Integer()
    staff_id = fields.Integer()
    external_userid = fields.String()
    name = fields.String(allow_none=True)
    status = fields.String(metadata={"description": "of the relation now"})
    link_channel_id = fields.Integer(allow_none=True)
    state = fields.String(allow_none=True)
    at = time_field()
    chat_status = fields.Integer(
        allow_none=True, metadata={"description": "WeCom's: 0 no message, 1 sent, 2 unknown"}
    )
    listed_at = time_field(allow_none=True)


class EventQuery(PageQuery):
    """Which events to list."""

    change_type = fields.Enum(LinkFact, by_value=True)
    acquisition_link_id = fields.Integer()


class LinkEventOut(Schema):
    """Something WeCom told about links."""

    id = fields.Integer()
    change_type = fields.String()
    event_at = time_field()
    acquisition_link_id = fields.Integer(allow_none=True)
    link_id = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    follow_id = fields.Integer(allow_none=True)
    customer_id = fields.Integer(allow_none=True)
    staff_id = fields.Integer(allow_none=True)
    received = fields.Integer(allow_none=True, metadata={"description": "messages of the customer by then"})
    chat_error = fields.String(allow_none=True, metadata={"description": "why WeCom did not tell who wrote"})
    expires_at = time_field(allow_none=True)
    expiring = fields.Integer(allow_none=True)


class DaysQuery(Schema):
    """Days of the corp's zone, both included; by default the last 30."""

    since = fields.Date()
    until = fields.Date()

    @validates_schema
    def _in_order(self, data: Mapping[str, date], **_: Any) -> None:
        since, until = data.get("since"), data.get("until")
        if since and until and not 0 <= (until - since).days < PERIOD_DAYS:
            raise ValidationError(f"must not lie before since, and at most {PERIOD_DAYS} days", "until")


class LinkFunnelOut(Schema):
    """How far people came."""

    clicks = fields.Integer(metadata={"description": "WeCom's count"})
    new_customers = fields.Integer(metadata={"description": "WeCom's count"})
    opened = fields.Integer(metadata={"description": "opened the member's page (told for some industries)"})
    requested = fields.Integer(metadata={"description": "sent a request (told where there is a channel)"})
    added = fields.Integer()
    chatted = fields.Integer(metadata={"description": "of these, wrote"})
    lost = fields.Integer(metadata={"description": "of these, ended by either side"})


class LinkRatesOut(Schema):
    """Shares of one step that reached the next; null without anybody."""

    added_of_clicks = fields.Float(allow_none=True)
    added_of_requests = fields.Float(allow_none=True)
    chatted_of_added = fields.Float(allow_none=True)


class LinkDayOut(LinkFunnelOut):
    """One day."""

    day = fields.Date()


class LinkChannelFiguresOut(LinkFunnelOut):
    """One channel; null: without a channel."""

    link_channel_id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)


class LinkStatisticsOut(Schema):
    """The figures of one link."""

    since = fields.Date()
    until = fields.Date()
    total = fields.Nested(LinkFunnelOut)
    rates = fields.Nested(LinkRatesOut)
    days = fields.List(fields.Nested(LinkDayOut))
    channels = fields.List(fields.Nested(LinkChannelFiguresOut))


class LinkFiguresOut(LinkFunnelOut):
    """One link among all."""

    acquisition_link_id = fields.Integer()
    name = fields.String()
    status = fields.String()
    rates = fields.Nested(LinkRatesOut)


class LinksOverviewOut(Schema):
    """The figures of all links."""

    items = fields.List(fields.Nested(LinkFiguresOut))


class LinkQuotaBatchOut(Schema):
    """A part of the quota that expires together."""

    expires_at = time_field()
    balance = fields.Integer()


class LinkQuotaOut(Schema):
    """The quota of 获客助手."""

    total = fields.Integer()
    balance = fields.Integer()
    level = fields.Enum(QuotaLevel, by_value=True)
    batches = fields.List(fields.Nested(LinkQuotaBatchOut))
    used_per_day = fields.Float(allow_none=True, metadata={"description": "over the last 14 days"})
    days_left = fields.Float(allow_none=True, metadata={"description": "at that rate"})
    lasts_until = fields.Date(allow_none=True)
    read_at = time_field(allow_none=True)
    error = fields.String(allow_none=True, metadata={"description": "why it could not be read last time"})


class LinkReadingOut(Schema):
    """When something was last read from WeCom."""

    read_at = time_field(allow_none=True)
    failed_at = time_field(allow_none=True)
    error = fields.String(allow_none=True)


class LinkReadingsOut(Schema):
    """When what was last read from WeCom."""

    links = fields.Nested(LinkReadingOut)
    quota = fields.Nested(LinkReadingOut)
    statistics = fields.Nested(LinkReadingOut)
    customers = fields.Nested(LinkReadingOut)
