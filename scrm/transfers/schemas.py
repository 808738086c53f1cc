"""What the API takes and says about transfers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, post_dump, validates_schema
from marshmallow.validate import Equal, Length, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.transfers.models import ItemState, Matter, PlanKind, PlanState, Reason
from scrm.transfers.service.reasons import words_of

MESSAGE_CHARS = 200  # transfer_success_msg (wecom-api.md section 4.12)
PAIRS_MAX = 10_000  # what fits into one request of reasonable size; more come as CSV
IDS_MAX = 10_000
CSV_CHARS = 12_000_000  # 200,000 lines
SHARES_MAX, MEMBERS_MAX, WEIGHT_MAX = 20, 500, 100


def _id(**kwargs: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=Range(1), **kwargs)


class TransferReceiverSchema(Schema):
    """A member of a share; one of weight 2 gets twice as many as one of weight 1."""

    staff_id = _id(required=True)
    weight = fields.Integer(strict=True, load_default=1, validate=Range(1, WEIGHT_MAX))


class TransferShareSchema(Schema):
    """Part of the customers, and who gets them: members, all members of departments, or the leaders."""

    members = fields.List(fields.Nested(TransferReceiverSchema), validate=Length(1, MEMBERS_MAX))
    department_ids = fields.List(
        _id(), validate=Length(1, 100), metadata={"description": "with everything below"}
    )
    manager = fields.Boolean(
        truthy={True},
        falsy=set(),
        validate=Equal(True),
        metadata={"description": "leaders of who hands over"},
    )
    condition = fields.Dict(
        keys=fields.String(),
        metadata={"description": "condition tree over customers; without one: all the others"},
    )

    @validates_schema
    def _somebody(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data.keys() & {"members", "department_ids", "manager"}:
            raise ValidationError("give members, department_ids or manager")
        ids = [member["staff_id"] for member in data.get("members") or []]
        if len(ids) != len(set(ids)):
            raise ValidationError("names a member twice", "members")


class TransferRuleSchema(Schema):
    """Who gets what: a customer falls into the first share whose condition holds."""

    shares = fields.List(fields.Nested(TransferShareSchema), required=True, validate=Length(1, SHARES_MAX))
    existing = fields.Boolean(
        load_default=False,
        metadata={"description": "a receiver of the share who follows the customer already comes first"},
    )
    keep_together = fields.Boolean(
        load_default=False,
        metadata={"description": "customers of one group, and the group, go to one receiver"},
    )


class TransferPairSchema(Schema):
    """By hand: one customer or one group, and who gets it."""

    customer_id = _id()
    group_id = _id()
    to_staff_id = _id(required=True)

    @validates_schema
    def _one(self, data: Mapping[str, Any], **_: Any) -> None:
        if ("customer_id" in data) == ("group_id" in data):
            raise ValidationError("give either customer_id or group_id")


def _message(**kwargs: Any) -> fields.String:
    described = "told to the customers of an on-job transfer"
    return fields.String(validate=Length(max=MESSAGE_CHARS), metadata={"description": described}, **kwargs)


def _one_way(data: Mapping[str, Any]) -> None:
    if data.get("rule") and data.get("pairs"):
        raise ValidationError("give a rule or pairs, not both", "pairs")


class TransferPlanIn(Schema):
    """A new plan, as a draft: by a rule, or by hand with pairs (here or as CSV)."""

    kind = fields.Enum(PlanKind, by_value=True, required=True)
    from_staff_id = _id(required=True)
    matter = fields.Enum(Matter, by_value=True, data_key="what", load_default=Matter.CUSTOMERS)
    rule = fields.Nested(TransferRuleSchema, allow_none=True)
    pairs = fields.List(fields.Nested(TransferPairSchema), validate=Length(1, PAIRS_MAX))
    message = _message(allow_none=True)
    copy_tags = fields.Boolean(load_default=False)

    @validates_schema
    def _rule_or_pairs(self, data: Mapping[str, Any], **_: Any) -> None:
        _one_way(data)


class TransferPlanPatch(Schema):
    """Changes; of a plan under way what was not asked yet: a new rule distributes it anew."""

    matter = fields.Enum(Matter, by_value=True, data_key="what")
    rule = fields.Nested(TransferRuleSchema, allow_none=True)
    pairs = fields.List(fields.Nested(TransferPairSchema), validate=Length(1, PAIRS_MAX))
    message = _message(allow_none=True)
    copy_tags = fields.Boolean()

    @validates_schema
    def _rule_or_pairs(self, data: Mapping[str, Any], **_: Any) -> None:
        _one_way(data)


class TransferPlanQuery(PageQuery):
    """Filters of the list of plans."""

    state = fields.Enum(PlanState, by_value=True)
    kind = fields.Enum(PlanKind, by_value=True)
    from_staff_id = fields.Integer()
    automatic = fields.Boolean(metadata={"description": "made by the program because a member left"})


class TransferPlanOut(Schema):
    """A plan."""

    id = fields.Integer(required=True)
    kind = fields.Enum(PlanKind, by_value=True, required=True)
    state = fields.Enum(PlanState, by_value=True, required=True)
    from_staff_id = fields.Integer(required=True)
    from_userid = fields.String(allow_none=True)
    matter = fields.Enum(Matter, by_value=True, data_key="what", required=True)
    rule = fields.Dict(allow_none=True)
    message = fields.String(allow_none=True)
    copy_tags = fields.Boolean(required=True)
    automatic = fields.Boolean(required=True)
    made_by = fields.String(required=True)
    error = fields.String(
        allow_none=True, metadata={"description": "why the program paused or could not start it"}
    )
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    activated_at = time_field(allow_none=True)
    finished_at = time_field(allow_none=True)
    created_at = time_field(required=True)


class TransferImportIn(Schema):
    """Pairs as CSV, instead of those the draft has; a dry run says what would be taken."""

    csv = fields.String(
        required=True,
        validate=Length(1, CSV_CHARS),
        metadata={"description": "first line: external_userid or chat_id, and to_userid"},
    )
    dry_run = fields.Boolean(load_default=False)


class TransferProblemOut(Schema):
    """A line that cannot be taken."""

    line = fields.Integer(required=True)
    problem = fields.String(required=True)


class TransferImportOut(Schema):
    """What an import did, or would do; at most 200 problems are shown."""

    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)
    problems = fields.List(fields.Nested(TransferProblemOut), required=True)


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

    item_ids = fields.List(_id(), required=True, validate=Length(1, IDS_MAX))
    to_staff_id = _id(required=True)


class TransferTakeOutIn(Schema):
    """Items to leave out that nobody was asked about yet."""

    item_ids = fields.List(_id(), required=True, validate=Length(1, IDS_MAX))


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
