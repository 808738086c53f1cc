"""Webhook endpoints and deliveries as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.webhooks.models import DeliveryState, DisabledReason, EndpointState, Payload
from scrm.webhooks.service.addresses import MOST_CHARS
from scrm.webhooks.service.catalogue import TYPES, patterns
from scrm.webhooks.service.recording import MOST_TRIES

URL = {"description": "https, without user and password", "example": "https://example.com/webhooks/scrm"}
PATTERNS = {
    "description": "names such as tag.given, families such as tag.*, or * for everything",
    "example": ["customer.*", "tag.given"],
}
THIN = "thin: ids and times; fat: also what is known of the customers and orders, personal data"
STATES = (EndpointState.ACTIVE, EndpointState.DISABLED)
MOST_PER_SECOND, MOST_HOURS = 1000, 168


class EndpointFields(Schema):
    """What can be said and changed."""

    url = fields.String(validate=Length(1, MOST_CHARS), metadata=URL)
    description = fields.String(validate=Length(max=500))
    event_types = fields.List(
        fields.String(validate=OneOf(patterns())), validate=Length(1, len(patterns())), metadata=PATTERNS
    )
    payload = fields.Enum(Payload, by_value=True, metadata={"description": THIN})
    max_per_second = fields.Integer(
        allow_none=True,
        validate=Range(1, MOST_PER_SECOND),
        metadata={"description": "deliveries; null: no limit"},
    )


class EndpointIn(EndpointFields):
    """A new endpoint."""

    url = fields.String(required=True, validate=Length(1, MOST_CHARS), metadata=URL)
    event_types = fields.List(
        fields.String(validate=OneOf(patterns())),
        required=True,
        validate=Length(1, len(patterns())),
        metadata=PATTERNS,
    )


class EndpointChange(EndpointFields):
    """Changes of an endpoint."""

    state = fields.String(
        validate=OneOf([str(state) for state in STATES]),
        metadata={"description": "active: what waited since it was disabled goes out"},
    )


class SecretOut(Schema):
    """The life of a secret; what it is was shown when it was made."""

    id = fields.Integer(required=True)
    created_at = time_field(required=True)
    expires_at = time_field(
        required=True, allow_none=True, metadata={"description": "signs until then; null: the newest"}
    )


class EndpointOut(Schema):
    """An endpoint."""

    id = fields.Integer(required=True)
    url = fields.String(required=True)
    description = fields.String(required=True)
    event_types = fields.List(fields.String(), required=True)
    payload = fields.Enum(Payload, by_value=True, required=True)
    max_per_second = fields.Integer(required=True, allow_none=True)
    state = fields.Enum(EndpointState, by_value=True, required=True)
    reason = fields.Enum(DisabledReason, by_value=True, required=True, allow_none=True)
    disabled_at = time_field(required=True, allow_none=True)
    failures = fields.Integer(required=True, metadata={"description": "attempts in a row that failed"})
    failing_since = time_field(required=True, allow_none=True)
    resume_at = time_field(
        required=True,
        allow_none=True,
        metadata={"description": "left alone until then: it failed often, or asked for it"},
    )
    made_by = fields.String(required=True)
    created_at = time_field(required=True)
    updated_at = time_field(required=True)
    secrets = fields.List(fields.Nested(SecretOut), required=True)


class EndpointDetail(EndpointOut):
    """An endpoint with what waits for it."""

    waiting = fields.Integer(required=True, metadata={"description": "deliveries that are still to be made"})
    oldest_waiting_at = time_field(required=True, allow_none=True)


class EndpointMade(EndpointDetail):
    """A new endpoint; its secret is shown this once."""

    secret = fields.String(required=True, metadata={"example": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})


class RotationIn(Schema):
    """How long the old secrets go on signing."""

    hours = fields.Float(
        validate=Range(0, MOST_HOURS),
        metadata={"description": "0: not at all; left out: as configured ([webhooks] rotation_hours)"},
    )


class SecretMade(Schema):
    """A new secret, shown this once."""

    secret = fields.String(required=True)


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    endpoint_id = fields.Integer()
    event_id = fields.Integer(metadata={"description": "the event's sequence"})
    state = fields.String(validate=OneOf([str(state) for state in DeliveryState]))
    type = fields.String(validate=OneOf(list(TYPES)))
    since = time_field(metadata={"description": "of events noted at or after"})
    until = time_field(metadata={"description": "of events noted before"})


class DeliveryOut(Schema):
    """One event on its way to one endpoint."""

    id = fields.Integer(required=True)
    endpoint_id = fields.Integer(required=True)
    event_id = fields.Integer(required=True, metadata={"description": "the sequence that receivers see"})
    webhook_id = fields.String(required=True)
    type = fields.String(required=True)
    noted_at = time_field(required=True)
    state = fields.Enum(DeliveryState, by_value=True, required=True)
    attempts = fields.Integer(required=True)
    next_at = time_field(required=True, allow_none=True)
    tried_at = time_field(required=True, allow_none=True, metadata={"description": "the last attempt"})
    status = fields.Integer(required=True, allow_none=True, metadata={"description": "what it answered"})
    error = fields.String(required=True, allow_none=True)
    milliseconds = fields.Integer(required=True, allow_none=True)
    finished_at = time_field(required=True, allow_none=True)


class AttemptOut(Schema):
    """One attempt and what came of it."""

    at = time_field(required=True)
    status = fields.Integer(metadata={"description": "what it answered; missing: nothing"})
    error = fields.String(metadata={"description": "why it was no success"})
    milliseconds = fields.Integer()


class DeliveryDetail(DeliveryOut):
    """A delivery with its event (ids only) and its attempts."""

    tries = fields.List(
        fields.Nested(AttemptOut),
        required=True,
        metadata={"description": f"the last {MOST_TRIES} attempts, the newest at the end"},
    )
    data = fields.Dict(required=True)


class RedeliverIn(Schema):
    """Which deliveries of an endpoint go out again."""

    since = time_field(required=True, metadata={"description": "events noted at or after"})
    until = time_field(metadata={"description": "events noted before; left out: all until now"})
    states = fields.List(
        fields.String(validate=OneOf(["failed", "delivered"])),
        load_default=["failed"],
        validate=Length(1, 2),
        metadata={"description": "delivered: also what had arrived, for a receiver that lost it"},
    )
    after = fields.Integer(load_default=0, metadata={"description": "next_after of the answer before"})

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("until") is not None and data["until"] <= data["since"]:
            raise ValidationError("must lie after since", "until")


class RedeliveredOut(Schema):
    """What a redelivery took."""

    redelivered = fields.Integer(required=True)
    next_after = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "there are more: ask again with it; null: that was all"},
    )


class WebhookTypeOut(Schema):
    """A type of events."""

    type = fields.String(required=True)
    zh = fields.String(required=True)
    en = fields.String(required=True)
    fat = fields.String(
        required=True, allow_none=True, metadata={"description": "what data holds besides at fat endpoints"}
    )
    schema = fields.Dict(required=True, metadata={"description": "JSON Schema of the body"})


class WebhookTypesOut(Schema):
    """Every type, and everything that can be subscribed to."""

    items = fields.List(fields.Nested(WebhookTypeOut), required=True)
    subscriptions = fields.List(fields.String(), required=True)
