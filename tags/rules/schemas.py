"""Rules as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range, Regexp

from scrm.kernel.schemas import PageQuery, Schema, time_field
from tags.models import RuleState, Schedule

NAME_LENGTH = 100
TAGS_MAX = 50
SAMPLE_MAX = 100
PRIORITY_MAX = 1_000_000
DAYS_MAX = 3650


def _condition(**kwargs: Any) -> fields.Dict:
    told = {"description": "a condition tree; its JSON schema is at /rules/condition-schema"}
    return fields.Dict(keys=fields.String(), metadata=told, **kwargs)


def _tags(**kwargs: Any) -> fields.List[Any]:
    problem = f"must be at most {TAGS_MAX} tags"
    return fields.List(fields.Integer(strict=True), validate=Length(max=TAGS_MAX, error=problem), **kwargs)


def _priority(**kwargs: Any) -> fields.Integer:
    told = {"description": "which rule's tag stays in an exclusive group: that of the larger number"}
    return fields.Integer(strict=True, validate=Range(-PRIORITY_MAX, PRIORITY_MAX), metadata=told, **kwargs)


def _schedule(**kwargs: Any) -> fields.Enum[Any]:
    told = {"description": "as soon as facts change, at everybody once a day, or both"}
    return fields.Enum(Schedule, by_value=True, metadata=told, **kwargs)


def _daily_at(**kwargs: Any) -> fields.String:
    problem = "must be a time of day such as 09:30, in the corp's zone"
    return fields.String(
        validate=Regexp(r"^([01]\d|2[0-3]):[0-5]\d\Z", error=problem), allow_none=True, **kwargs
    )


def _expire(**kwargs: Any) -> fields.Integer:
    told = {"description": "take the tag away so many days after setting it; empty: never"}
    return fields.Integer(strict=True, validate=Range(1, DAYS_MAX), allow_none=True, metadata=told, **kwargs)


def _confirm() -> fields.String:
    told = {"description": "the token of a refusal `rule-storm`: yes to touching so many customers"}
    return fields.String(load_default=None, allow_none=True, validate=Length(max=64), metadata=told)


class ConfirmIn(Schema):
    """Yes to touching many customers, where that was asked."""

    confirm = _confirm()


class RuleIn(Schema):
    """A new rule."""

    name = fields.String(required=True, validate=Length(1, NAME_LENGTH))
    state = fields.Enum(RuleState, by_value=True, load_default=RuleState.DRAFT)
    condition = _condition(required=True)
    add_tag_ids = _tags(
        load_default=list, metadata={"description": "on every present relation while it holds"}
    )
    remove_tag_ids = _tags(
        load_default=list,
        metadata={"description": "tags this rule itself set earlier, taken away while it holds"},
    )
    keep = fields.Boolean(load_default=False, metadata={"description": "tags stay when it no longer holds"})
    expire_after_days = _expire(load_default=None)
    priority = _priority(load_default=0)
    schedule = _schedule(load_default=Schedule.EVENTS)
    daily_at = _daily_at(load_default=None)
    confirm = _confirm()

    @validates_schema
    def _does_something(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data["add_tag_ids"] and not data["remove_tag_ids"]:
            raise ValidationError("give at least one tag to add or to remove", "add_tag_ids")


class RuleChange(Schema):
    """What to change of a rule."""

    name = fields.String(validate=Length(1, NAME_LENGTH))
    state = fields.Enum(RuleState, by_value=True)
    condition = _condition()
    add_tag_ids = _tags()
    remove_tag_ids = _tags()
    keep = fields.Boolean()
    expire_after_days = _expire()
    priority = _priority()
    schedule = _schedule()
    daily_at = _daily_at()
    confirm = _confirm()


class WordsOut(Schema):
    """A condition as people say it."""

    zh = fields.String()
    en = fields.String()


class ChangesOut(Schema):
    """Sentences."""

    zh = fields.List(fields.String())
    en = fields.List(fields.String())


class RuleOut(Schema):
    """A rule with its newest version."""

    id = fields.Integer()
    name = fields.String()
    state = fields.Enum(RuleState, by_value=True)
    version = fields.Integer()
    error = fields.String(allow_none=True, metadata={"description": "why it was paused"})
    condition = fields.Dict()
    words = fields.Nested(WordsOut)
    reads = fields.List(fields.String(), metadata={"description": "facts whose change wakes it"})
    add_tag_ids = fields.List(fields.Integer())
    remove_tag_ids = fields.List(fields.Integer())
    keep = fields.Boolean()
    conflicts = fields.Nested(
        ChangesOut,
        metadata={"description": "what it takes away although it never gave it, or another rule gives it"},
    )
    expire_after_days = _expire()
    priority = _priority()
    schedule = _schedule()
    daily_at = _daily_at()
    daily_next = time_field(allow_none=True)
    made_by = fields.String()
    created_at = time_field()
    updated_at = time_field()


class RuleQuery(PageQuery):
    """Which rules to list."""

    state = fields.Enum(RuleState, by_value=True)


class RuleChangeOut(Schema):
    """Who changed name, state, priority or schedule; texts are versions."""

    id = fields.Integer()
    at = time_field()
    by = fields.String()
    changes = fields.Dict(metadata={"description": "field → [before, after]"})


class RuleVersionOut(Schema):
    """What a rule said at one version."""

    version = fields.Integer()
    condition = fields.Dict()
    add_tag_ids = fields.List(fields.Integer())
    remove_tag_ids = fields.List(fields.Integer())
    keep = fields.Boolean()
    expire_after_days = _expire()
    restored_from = fields.Integer(
        allow_none=True, metadata={"description": "the older version it says again"}
    )
    changes = fields.Nested(ChangesOut, metadata={"description": "against the version before, in words"})
    made_by = fields.String()
    created_at = time_field()


class RuleVersionList(Schema):
    """Versions of a rule, newest first."""

    items = fields.List(fields.Nested(RuleVersionOut))


class PreviewIn(Schema):
    """A rule to try out; with ``rule_id`` as a new text of that rule."""

    condition = _condition(required=True)
    add_tag_ids = _tags(load_default=list)
    remove_tag_ids = _tags(load_default=list)
    keep = fields.Boolean(load_default=False)
    rule_id = fields.Integer(load_default=None, allow_none=True)
    sample = fields.Integer(load_default=20, validate=Range(0, SAMPLE_MAX))


class LeafOut(Schema):
    """One leaf of the condition for one customer."""

    path = fields.String()
    words = fields.Nested(WordsOut)
    holds = fields.Boolean(allow_none=True, metadata={"description": "empty: this key may not ask it"})
    value = fields.String(allow_none=True, metadata={"description": "what it looked at, where there is such"})


class SampleOut(Schema):
    """One customer for whom the condition holds, and why."""

    customer_id = fields.Integer()
    leaves = fields.List(fields.Nested(LeafOut))


class PreviewOut(Schema):
    """What it would do now."""

    base = fields.Integer(metadata={"description": "customers there are"})
    customers = fields.Integer(metadata={"description": "customers with a change"})
    share = fields.Float(metadata={"description": "of all customers, the part with a change"})
    rivals = fields.Integer(
        metadata={"description": "of would_add, where another tag of an exclusive group stands now"}
    )
    staff = fields.Integer(metadata={"description": "members with a relation that changes"})
    wecom_calls = fields.Integer(metadata={"description": "one mark_tag for each relation that changes"})
    wecom_seconds = fields.Float(metadata={"description": "how long WeCom's limits make them take"})
    samples = fields.List(fields.Nested(SampleOut))
    count = fields.Integer(metadata={"description": "customers for whom the condition holds"})
    as_of = fields.AwareDateTime(metadata={"description": "nothing that happened before is missing in count"})
    exact = fields.Boolean(metadata={"description": "count is that of the moment of the question"})
    sample = fields.List(fields.Integer(), metadata={"description": "ids of the newest of them"})
    would_add = fields.Integer(metadata={"description": "tags on relations that would come"})
    would_remove = fields.Integer(metadata={"description": "tags on relations that would go"})
    words = fields.Nested(WordsOut)


class ExplainIn(Schema):
    """For whom."""

    customer_id = fields.Integer(required=True)
    language = fields.String(load_default="zh", validate=lambda value: value in {"zh", "en"})


class ExplainOut(Schema):
    """Whether a rule holds, node by node."""

    rule_id = fields.Integer()
    customer_id = fields.Integer()
    at = time_field()
    holds = fields.Boolean()
    condition = fields.Dict(
        metadata={
            "description": "the tree with path, words and holds at every node; empty holds: this key may not ask it"
        }
    )


class RunOut(Schema):
    """A backfill or retirement of a rule."""

    id = fields.Integer()
    rule_id = fields.Integer()
    kind = fields.String(metadata={"description": "backfill | daily | retire"})
    version = fields.Integer()
    state = fields.String(
        metadata={"description": "queued | running | done | failed | cancelled | undoing | undone"}
    )
    seen = fields.Integer(metadata={"description": "customers looked at"})
    left = fields.Integer(allow_none=True, metadata={"description": "customers to look at yet"})
    paused = fields.Boolean()
    rate = fields.Float(allow_none=True, metadata={"description": "customers a second of work"})
    seconds_left = fields.Float(allow_none=True, metadata={"description": "of work, at that rate"})
    added = fields.Integer()
    removed = fields.Integer()
    started_by = fields.String(allow_none=True)
    error = fields.String(allow_none=True)
    created_at = time_field()
    finished_at = time_field(allow_none=True)
