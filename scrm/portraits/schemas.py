"""What the API says about portraits and timelines."""

from __future__ import annotations

from marshmallow import INCLUDE, ValidationError, fields
from marshmallow.validate import Length
from webargs.fields import DelimitedList

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.portraits.service import EntryKind


def _known_kind(value: str) -> None:
    """Nothing at all is no answer to a kind that there is not."""
    if not any(value == kind or (value.endswith(".") and kind.startswith(value)) for kind in EntryKind):
        raise ValidationError(f"must be one of {', '.join(EntryKind)}, or a family such as message.")


class TimelineQuery(PageQuery):
    """Filters of a timeline."""

    kind = fields.String(
        validate=_known_kind,
        metadata={"description": "one kind such as message.in, or a family with its dot such as message."},
    )
    kinds = DelimitedList(
        fields.String(validate=_known_kind),
        validate=Length(1, 40),
        metadata={"description": "several of them, separated by commas: message.,order.paid"},
    )
    staff_id = fields.Integer(metadata={"description": "only what this member took part in"})
    from_ = time_field(data_key="from", metadata={"description": "not before"})
    to = time_field(metadata={"description": "before"})


class EntryOut(Schema):
    """Something that happened to the customer."""

    id = fields.Integer(required=True)
    at = time_field(required=True)
    kind = fields.String(required=True)
    staff_id = fields.Integer(allow_none=True)
    details = fields.Dict(required=True)


class TimelineOut(Schema):
    """The newest entries."""

    items = fields.List(fields.Nested(EntryOut), required=True)
    next_cursor = fields.String(
        allow_none=True, required=True, metadata={"description": "for /customers/{id}/timeline"}
    )


class CountersOut(Schema):
    """Counts and last times."""

    messages_in = fields.Integer(required=True)
    messages_out = fields.Integer(required=True)
    entries = fields.Integer(required=True)
    last_in_at = time_field(allow_none=True)
    last_out_at = time_field(allow_none=True)
    last_entry_at = time_field(allow_none=True)


class PortraitOut(Schema):
    """Everything about one customer; further fields come from other packages (tags, broadcasts, ...)."""

    class Meta:
        unknown = INCLUDE

    id = fields.Integer(required=True)
    external_userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    avatar = fields.String(allow_none=True)
    type = fields.Integer(allow_none=True)
    gender = fields.Integer(allow_none=True)
    unionid = fields.String(allow_none=True)
    position = fields.String(allow_none=True)
    corp_name = fields.String(allow_none=True)
    corp_full_name = fields.String(allow_none=True)
    external_profile = fields.Dict(allow_none=True)
    refreshed_at = time_field(allow_none=True)
    refresh_failed = fields.String(allow_none=True)
    created_at = time_field(required=True)
    follows = fields.List(fields.Dict(), required=True)
    groups = fields.List(fields.Dict(), required=True)
    counters = fields.Nested(CountersOut, allow_none=True)
    person = fields.Dict(allow_none=True, required=True)
    timeline = fields.Nested(TimelineOut, required=True)
