"""What the API says about event types and batches of events."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf, Range, Regexp

from scrm.behaviour.models import Unknown
from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.batch import MOST_ROWS
from scrm.kernel.schemas import PageQuery, Schema, time_field

KEY = Regexp(
    r"\A[a-z][a-z0-9_]{0,63}\Z", error="must be small letters, digits and _, at most 64, a letter first"
)
PROPERTY_KEY = Regexp(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z", error="must be letters, digits and _, at most 64")
MOST_PROPERTIES = 100
LONGEST_DAYS = 36_500


class PropertySchema(Schema):
    """One property that events of a type carry."""

    key = fields.String(required=True, validate=PROPERTY_KEY)
    type = fields.String(required=True, validate=OneOf([str(one) for one in PropertyType]))
    name_zh = fields.String(required=True, validate=Length(1, 60))
    name_en = fields.String(required=True, validate=Length(1, 60))
    required = fields.Boolean(load_default=False)


class EventTypeChange(Schema):
    """What can be changed of a type."""

    name_zh = fields.String(validate=Length(1, 60))
    name_en = fields.String(validate=Length(1, 60))
    properties = fields.List(fields.Nested(PropertySchema), validate=Length(max=MOST_PROPERTIES))
    unknown_properties = fields.Enum(
        Unknown, by_value=True, metadata={"description": "what becomes of properties not named here"}
    )
    retention_days = fields.Integer(
        allow_none=True,
        validate=Range(1, LONGEST_DAYS),
        metadata={"description": "older events are deleted every night; null keeps them for good"},
    )
    on_timeline = fields.Boolean()
    archived = fields.Boolean(metadata={"description": "an archived type takes no more events"})


class EventTypeIn(Schema):
    """A new type."""

    key = fields.String(required=True, validate=KEY)
    name_zh = fields.String(required=True, validate=Length(1, 60))
    name_en = fields.String(required=True, validate=Length(1, 60))
    properties = fields.List(
        fields.Nested(PropertySchema), load_default=list, validate=Length(max=MOST_PROPERTIES)
    )
    unknown_properties = fields.Enum(Unknown, by_value=True, load_default=Unknown.REFUSE)
    retention_days = fields.Integer(allow_none=True, load_default=None, validate=Range(1, LONGEST_DAYS))
    on_timeline = fields.Boolean(load_default=True)


class EventTypeOut(Schema):
    """A registered type of events."""

    id = fields.Integer(required=True)
    key = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    properties = fields.List(fields.Nested(PropertySchema), required=True)
    unknown_properties = fields.Enum(Unknown, by_value=True, required=True)
    retention_days = fields.Integer(allow_none=True, required=True)
    on_timeline = fields.Boolean(required=True)
    archived_at = time_field(allow_none=True, required=True)
    created_at = time_field(required=True)
    updated_at = time_field(required=True)


class EventIn(Schema):
    """One event. The view checks rows itself (docs/adr/0013); this describes them."""

    source_id = fields.String(
        required=True, metadata={"maxLength": 128, "description": "the sender's own id"}
    )
    type = fields.String(required=True, metadata={"description": "key of a registered type"})
    at = time_field(required=True, metadata={"description": "when it happened; may be years ago"})
    identities = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "who, such as {phone: …, external_userid: …}; a list for several of a kind"},
    )
    properties = fields.Dict(keys=fields.String())


class EventBatchIn(Schema):
    """Events of one source."""

    source = fields.String(
        required=True, metadata={"description": "name of the sending system, such as mall"}
    )
    events = fields.List(fields.Nested(EventIn), required=True, validate=Length(1, MOST_ROWS))


class EventQuery(PageQuery):
    """Filters of somebody's events."""

    type = fields.String(validate=Length(1, 64), metadata={"description": "key of a type"})


class EventOut(Schema):
    """Something a person did."""

    id = fields.Integer(required=True)
    at = time_field(required=True)
    type = fields.String(required=True)
    properties = fields.Dict(required=True)
    source = fields.String(required=True)
    source_id = fields.String(required=True)
