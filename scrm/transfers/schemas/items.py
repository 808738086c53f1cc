"""What the API says about the items of transfers, and about members who left."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, post_dump
from marshmallow.validate import Length

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.transfers.models import ItemState, Matter, PlanState, Reason
from scrm.transfers.schemas.plans import IDS_MAX, TransferRuleSchema, row_id
from scrm.transfers.service.reasons import words_of


class TransferWordsOut(Schema):
    """A reason for people."""

    zh = fields.String(required=True)
    en = fields.String(required=True)


class _WithWords(Schema):
    """Adds the words of ``reason`` and ``errcode``."""

    @post_dump
    def _add_words(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "words": words_of(data.get("reason"), data.get("errcode"))}


class TransferReceiverOut(Schema):
    """What one member would get."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    customers = fields.Integer(required=True)
    groups = fields.Integer(required=True)


class TransferUnableOut(_WithWords):
    """A member of the rule who cannot receive now."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    reason = fields.String(required=True)
    words = fields.Nested(TransferWordsOut, allow_none=True)


class TransferLeftOutReason(_WithWords):
    """Why some cannot be handed over."""

    reason = fields.String(required=True)
    of_groups = fields.Boolean(required=True)
    number = fields.Integer(required=True)
    words = fields.Nested(TransferWordsOut, allow_none=True)


class TransferLeftOut(Schema):
    """Who cannot be handed over."""

    total = fields.Integer(required=True)
    reasons = fields.List(fields.Nested(TransferLeftOutReason), required=True)


class TransferPreviewOut(Schema):
    """The dry run, or once the plan was activated the plan itself."""

    plan_id = fields.Integer(required=True)
    frozen = fields.Boolean(required=True)
    customers = fields.Integer(required=True)
    groups = fields.Integer(required=True)
    receivers = fields.List(fields.Nested(TransferReceiverOut), required=True)
    unable_receivers = fields.List(fields.Nested(TransferUnableOut), required=True)
    left_out = fields.Nested(TransferLeftOut, required=True)
    calls = fields.Integer(
        required=True, metadata={"description": "requests to WeCom, 100 customers or groups each"}
    )
    days = fields.Integer(
        required=True, metadata={"description": "days it takes: 300 groups a day to one new owner"}
    )
    too_often_note = fields.String(required=True)


class TransferItemQuery(PageQuery):
    """Narrows the items of a plan."""

    state = fields.Enum(ItemState, by_value=True)
    reason = fields.Enum(Reason, by_value=True)
    to_staff_id = fields.Integer()
    customer_id = fields.Integer()
    of_groups = fields.Boolean()


class TransferItemOut(_WithWords):
    """What became of one customer or group."""

    id = fields.Integer(required=True)
    customer_id = fields.Integer(allow_none=True)
    external_userid = fields.String(allow_none=True)
    group_id = fields.Integer(allow_none=True)
    chat_id = fields.String(allow_none=True)
    to_staff_id = fields.Integer(allow_none=True)
    to_userid = fields.String(allow_none=True)
    state = fields.Enum(ItemState, by_value=True, required=True)
    errcode = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)
    words = fields.Nested(TransferWordsOut, allow_none=True)
    attempts = fields.Integer(required=True)
    tried = fields.List(fields.Integer(), metadata={"description": "receivers it did not work with"})
    not_before = time_field(allow_none=True)
    asked_at = time_field(allow_none=True)
    accepted_at = time_field(allow_none=True)
    takeover_at = time_field(allow_none=True)
    settled_at = time_field(allow_none=True)
    possible_at = time_field(allow_none=True, metadata={"description": "when WeCom allows it again"})


class TransferAssignIn(Schema):
    """Items to be given to one member: not asked yet, or such as did not work and are asked anew."""

    item_ids = fields.List(row_id(), required=True, validate=Length(1, IDS_MAX))
    to_staff_id = row_id(required=True)


class TransferTakeOutIn(Schema):
    """Items to leave out that nobody was asked about yet."""

    item_ids = fields.List(row_id(), required=True, validate=Length(1, IDS_MAX))


class TransferChangedOut(Schema):
    """How many items a change was possible for."""

    changed = fields.Integer(required=True)


class TransferReasonCount(_WithWords):
    """How many items stand in a state for one reason."""

    state = fields.String(required=True)
    reason = fields.String(allow_none=True)
    errcode = fields.Integer(allow_none=True)
    number = fields.Integer(required=True)
    words = fields.Nested(TransferWordsOut, allow_none=True)


class TransferReceiverTotals(Schema):
    """Items of one receiver by state."""

    staff_id = fields.Integer(required=True)
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class TransferResultsOut(Schema):
    """What became of a plan so far."""

    plan_id = fields.Integer(required=True)
    state = fields.Enum(PlanState, by_value=True, required=True)
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    open = fields.Integer(required=True, metadata={"description": "items whose fate is not final"})
    receivers = fields.List(fields.Nested(TransferReceiverTotals), required=True)
    reasons = fields.List(fields.Nested(TransferReasonCount), required=True)


class TransferLeftMemberOut(Schema):
    """A member who left and still has customers or groups."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    left_at = time_field(required=True)
    age_days = fields.Integer(required=True)
    customers = fields.Integer(required=True)
    customers_unplanned = fields.Integer(required=True)
    customers_planned = fields.Integer(required=True)
    customers_waiting = fields.Integer(required=True)
    customers_back = fields.Integer(required=True, metadata={"description": "came back and need a decision"})
    groups = fields.Integer(required=True)
    groups_unplanned = fields.Integer(required=True)
    draft_plan_id = fields.Integer(allow_none=True)


class TransferLeftMembersOut(Schema):
    """Everybody who left and still has customers or groups; longest gone first."""

    items = fields.List(fields.Nested(TransferLeftMemberOut), required=True)


class TransferUnassignedQuery(PageQuery):
    """Narrows the unassigned customers."""

    staff_id = fields.Integer()
    planned = fields.Boolean()


class TransferUnassignedOut(Schema):
    """A customer of a member who left."""

    staff_id = fields.Integer(required=True)
    customer_id = fields.Integer(required=True)
    external_userid = fields.String(required=True)
    left_at = time_field(required=True)
    found_at = time_field(required=True)
    listed_at = time_field(allow_none=True, metadata={"description": "WeCom's own list last showed it"})
    planned = fields.Boolean(required=True)


class TransferDefaultIn(Schema):
    """What happens when a member of the department leaves."""

    rule = fields.Nested(TransferRuleSchema, required=True)
    matter = fields.Enum(Matter, by_value=True, data_key="what", load_default=Matter.BOTH)
    activate = fields.Boolean(load_default=False, metadata={"description": "the plan starts by itself"})
    copy_tags = fields.Boolean(load_default=False)


class TransferDefaultOut(Schema):
    """What happens when a member of the department, or of one below without its own line, leaves."""

    department_id = fields.Integer(required=True)
    rule = fields.Dict(required=True)
    matter = fields.Enum(Matter, by_value=True, data_key="what", required=True)
    activate = fields.Boolean(required=True)
    copy_tags = fields.Boolean(required=True)
    made_by = fields.String(required=True)
    updated_at = time_field(required=True)


class TransferDefaultsOut(Schema):
    """The defaults of all departments that have one."""

    items = fields.List(fields.Nested(TransferDefaultOut), required=True)
