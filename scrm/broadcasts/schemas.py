"""What the API takes and says about broadcasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Equal, Length, Range

from scrm.audiences.queries.in_audience import MAX_AUDIENCES
from scrm.broadcasts.models import BroadcastKind, BroadcastState, TargetState
from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.wecom.attachments import message_attachments, message_text, refuse_empty

NAME_LENGTH = 100
IDS_MAX = 100_000  # what fits into one request of reasonable size; larger audiences are conditions
CHOICES = ("condition", "audience_ids", "customer_ids", "group_ids", "all")


def _ids() -> fields.List[int]:
    one = fields.Integer(strict=True, validate=Range(1))
    return fields.List(one, validate=Length(1, IDS_MAX))


def _saved(words: str) -> fields.List[int]:
    one = fields.Integer(strict=True, validate=Range(1))
    return fields.List(one, validate=Length(1, MAX_AUDIENCES), metadata={"description": words})


class AudienceSchema(Schema):
    """Who receives: a condition tree, saved audiences or both together, or customers, groups, or all."""

    condition = fields.Dict(keys=fields.String())
    audience_ids = _saved(
        "saved audiences; who belongs to any of them, and fulfils the condition where there is one"
    )
    exclude_audience_ids = _saved("beside any choice of customers: but nobody who belongs to one of these")
    customer_ids = _ids()
    group_ids = _ids()
    all = fields.Boolean(truthy={True}, falsy=set(), validate=Equal(True))

    @validates_schema
    def _exactly_one(self, data: Mapping[str, Any], **_: Any) -> None:
        chosen = data.keys() - {"exclude_audience_ids"}
        if len(chosen) != 1 and chosen != {"condition", "audience_ids"}:
            raise ValidationError(
                f"give exactly one of {', '.join(CHOICES)}; condition and audience_ids go together too"
            )


def _send_at(**kwargs: Any) -> fields.DateTime:
    described = "ISO 8601; without an offset it is read in the corp's time zone; must be to come"
    return fields.DateTime(format="iso", metadata={"description": described}, **kwargs)


def _name(**kwargs: Any) -> fields.String:
    return fields.String(validate=Length(1, NAME_LENGTH), **kwargs)


class BroadcastIn(Schema):
    """A new broadcast: a draft, or with ``send_at`` a scheduled one."""

    name = _name(required=True)
    kind = fields.Enum(BroadcastKind, by_value=True, required=True)
    text = message_text()
    attachments = message_attachments()
    audience = fields.Nested(AudienceSchema, required=True)
    send_at = _send_at(allow_none=True)

    @validates_schema
    def _something_to_send(self, data: Mapping[str, Any], **_: Any) -> None:
        refuse_empty(data.get("text"), data.get("attachments"))


class BroadcastPatch(Schema):
    """Changes to a broadcast that has not started; what is left out stays."""

    name = _name()
    text = message_text()
    attachments = message_attachments()
    audience = fields.Nested(AudienceSchema)
    send_at = _send_at(allow_none=True)


class ScheduleIn(Schema):
    """When a broadcast shall start by itself."""

    send_at = _send_at(required=True)


class BroadcastItemOut(Schema):
    """A broadcast in a list; its audience may be long and is shown with the broadcast itself."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    kind = fields.Enum(BroadcastKind, by_value=True, required=True)
    state = fields.Enum(BroadcastState, by_value=True, required=True)
    text = fields.String(allow_none=True)
    attachments = fields.List(fields.Dict())
    send_at = time_field(allow_none=True)
    started_at = time_field(allow_none=True)
    frozen_at = time_field(allow_none=True)
    submitted_at = time_field(allow_none=True)
    cancelled_at = time_field(allow_none=True)
    finished_at = time_field(allow_none=True)
    error = fields.String(allow_none=True)
    made_by = fields.String(required=True)
    created_at = time_field(required=True)


class BroadcastOut(BroadcastItemOut):
    """A broadcast."""

    audience = fields.Dict(required=True)


class BroadcastQuery(PageQuery):
    """Filters of the list of broadcasts."""

    state = fields.Enum(BroadcastState, by_value=True)
    kind = fields.Enum(BroadcastKind, by_value=True)


class SenderPlanOut(Schema):
    """What one member would have to send."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    recipients = fields.Integer(required=True)
    tasks = fields.Integer(required=True)


class SkippedOut(Schema):
    """Who in the audience gets nothing, by reason."""

    total = fields.Integer(required=True)
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class MonthlyCapOut(Schema):
    """WeCom's limit of mass messages a recipient may receive in the corp's present month."""

    per_recipient = fields.Integer(required=True)
    reached = fields.Integer(
        required=True, metadata={"description": "recipients skipped because they had so many"}
    )
    note = fields.String(required=True)


class PlanOut(Schema):
    """The dry run, or once the audience is frozen the plan itself."""

    broadcast_id = fields.Integer(required=True)
    frozen = fields.Boolean(required=True)
    recipients = fields.Integer(required=True)
    tasks = fields.Integer(required=True, metadata={"description": "mass-send tasks that WeCom gets"})
    senders = fields.List(fields.Nested(SenderPlanOut), required=True)
    skipped = fields.Nested(SkippedOut, required=True)
    monthly_cap = fields.Nested(MonthlyCapOut, required=True)


class ResultsQuery(PageQuery):
    """Narrows the recipients in the results."""

    state = fields.Enum(TargetState, by_value=True)
    staff_id = fields.Integer()


class TaskOut(Schema):
    """One mass-send task at WeCom."""

    number = fields.Integer(required=True)
    recipients = fields.Integer(required=True)
    effect_id = fields.Integer(allow_none=True)
    msgid = fields.String(allow_none=True)
    confirmed = fields.Boolean(required=True)
    confirmed_at = time_field(allow_none=True)
    polled_at = time_field(allow_none=True)
    final = fields.Boolean(required=True)
    error = fields.String(allow_none=True)


class SenderResultOut(Schema):
    """What one member has done so far."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    confirmed = fields.Boolean(required=True, metadata={"description": "has sent all of their tasks"})
    recipients = fields.Integer(required=True)
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    tasks = fields.List(fields.Nested(TaskOut), required=True)


class RecipientOut(Schema):
    """What became of one recipient."""

    recipient = fields.String(required=True, metadata={"description": "external_userid or chat_id"})
    customer_id = fields.Integer(allow_none=True)
    group_id = fields.Integer(allow_none=True)
    sender_staff_id = fields.Integer(allow_none=True)
    state = fields.Enum(TargetState, by_value=True, required=True)
    reason = fields.String(allow_none=True)
    sent_at = time_field(allow_none=True)


class ResultsOut(Schema):
    """Totals, senders, and a page of recipients."""

    broadcast_id = fields.Integer(required=True)
    state = fields.Enum(BroadcastState, by_value=True, required=True)
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    senders = fields.List(fields.Nested(SenderResultOut), required=True)
    items = fields.List(fields.Nested(RecipientOut), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class RemindedOut(Schema):
    """What a reminder did, in numbers of tasks."""

    reminded = fields.Integer(required=True)
    confirmed = fields.Integer(required=True, metadata={"description": "the member has sent already"})
    at_limit = fields.Integer(required=True, metadata={"description": "reminded 3 times in 24 hours"})
