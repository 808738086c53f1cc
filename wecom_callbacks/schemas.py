"""The inbox in the API."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from wecom_callbacks.models import InboxState, Lane
from wecom_callbacks.queries import shown_body, shown_reason
from wecom_callbacks.reasons import Ignored

IDS_MAX = 1000
NAME = Length(max=128)


class InboxQuery(PageQuery):
    """Filters of the list."""

    state = fields.Enum(InboxState, by_value=True)
    lane = fields.Enum(Lane, by_value=True)
    event = fields.String(validate=NAME)
    change_type = fields.String(validate=NAME)
    app = fields.String(validate=NAME)
    reason = fields.Enum(Ignored, by_value=True)


class InboxItem(Schema):
    """One callback without its body."""

    id = fields.Integer(required=True)
    app = fields.String(required=True)
    lane = fields.Enum(Lane, by_value=True, required=True)
    state = fields.Enum(InboxState, by_value=True, required=True)
    event = fields.String(allow_none=True, metadata={"description": "known once it was worked on"})
    change_type = fields.String(allow_none=True)
    event_at = time_field(allow_none=True)
    received_at = time_field(required=True)
    finished_at = time_field(allow_none=True)
    replayed_at = time_field(allow_none=True)
    next_at = time_field(allow_none=True, metadata={"description": "when a failed one is tried again"})
    attempts = fields.Integer(required=True)
    error = fields.String(allow_none=True)
    reason = fields.String(
        allow_none=True, metadata={"description": "why an ignored one was ignored, one word"}
    )
    reason_text = fields.Function(
        shown_reason, metadata={"type": "string", "description": "the reason as a sentence, Chinese first"}
    )


class InboxDetail(InboxItem):
    """One callback with the decrypted XML that WeCom sent."""

    body = fields.Function(shown_body, metadata={"type": "string", "description": "codes are masked"})


class ReplayIn(Schema):
    """What to handle again: ids, or everything that fits all the other fields."""

    ids = fields.List(fields.Integer(strict=True), validate=Length(1, IDS_MAX))
    state = fields.Enum(InboxState, by_value=True)
    event = fields.String(validate=NAME)
    change_type = fields.String(validate=NAME)
    since = time_field(metadata={"description": "received at or after"})
    until = time_field(metadata={"description": "received before"})


class ReplayOut(Schema):
    """How many were taken; ``more`` says that the call should be repeated for the rest."""

    replayed = fields.Integer(required=True)
    more = fields.Boolean(required=True)


class InboxStatsQuery(Schema):
    """Which time the statistics are about."""

    hours = fields.Float(
        load_default=24.0,
        validate=Range(0, 24 * 400, min_inclusive=False),
        metadata={"description": "received in the last hours"},
    )


class InboxStatsItem(Schema):
    """Callbacks of one event and change type."""

    event = fields.String(allow_none=True, metadata={"description": "null: not worked on yet"})
    change_type = fields.String(allow_none=True)
    callbacks = fields.Integer(required=True)
    done = fields.Integer(required=True)
    ignored = fields.Integer(required=True)
    waiting = fields.Integer(required=True)
    failed = fields.Integer(required=True, metadata={"description": "will be tried again"})
    dead = fields.Integer(required=True)
    lag_p50 = fields.Float(
        allow_none=True, metadata={"description": "seconds from receipt to the end of the handling"}
    )
    lag_p99 = fields.Float(allow_none=True)
    delay_p50 = fields.Float(
        allow_none=True, metadata={"description": "seconds from the event to its receipt, by WeCom's clock"}
    )
    delay_p99 = fields.Float(allow_none=True)
    reasons = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "ignored ones by reason"}
    )


class InboxStatsOut(Schema):
    """Statistics of received callbacks."""

    since = time_field(required=True)
    items = fields.List(fields.Nested(InboxStatsItem), required=True)


class NoticesQuery(Schema):
    """Filters of the notices."""

    event = fields.String(validate=NAME)
    app = fields.String(validate=NAME)


class NoticeOut(Schema):
    """WeCom has something to fetch."""

    event = fields.String(required=True)
    app = fields.String(required=True)
    subject = fields.String(required=True, metadata={"description": "id of a job; empty: the app as a whole"})
    told_at = time_field(required=True)
    content = fields.Dict(keys=fields.String(), required=True)


class NoticesOut(Schema):
    """The newest notices."""

    items = fields.List(fields.Nested(NoticeOut), required=True)
