"""What the API takes and says about transfer plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Equal, Length, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from scrm.transfers.models import Matter, PlanKind, PlanState

MESSAGE_CHARS = 200  # transfer_success_msg (wecom-api.md section 4.12)
PAIRS_MAX = 10_000  # what fits into one request of reasonable size; more come as CSV
IDS_MAX = 10_000
CSV_CHARS = 12_000_000  # 200,000 lines
SHARES_MAX, MEMBERS_MAX, WEIGHT_MAX = 20, 500, 100


def row_id(**kwargs: Any) -> fields.Integer:
    """An id of ours."""
    return fields.Integer(strict=True, validate=Range(1), **kwargs)


class TransferReceiverSchema(Schema):
    """A member of a share; one of weight 2 gets twice as many as one of weight 1."""

    staff_id = row_id(required=True)
    weight = fields.Integer(strict=True, load_default=1, validate=Range(1, WEIGHT_MAX))


class TransferShareSchema(Schema):
    """Part of the customers, and who gets them: members, all members of departments, or the leaders."""

    members = fields.List(fields.Nested(TransferReceiverSchema), validate=Length(1, MEMBERS_MAX))
    department_ids = fields.List(
        row_id(), validate=Length(1, 100), metadata={"description": "with everything below"}
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

    customer_id = row_id()
    group_id = row_id()
    to_staff_id = row_id(required=True)

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
    from_staff_id = row_id(required=True)
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
