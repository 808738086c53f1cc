"""Rules as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from tags.models import RuleState

NAME_LENGTH = 100
TAGS_MAX = 50
SAMPLE_MAX = 100


def _condition(**kwargs: Any) -> fields.Dict:
    told = {"description": "a condition tree; its JSON schema is at /rules/condition-schema"}
    return fields.Dict(keys=fields.String(), metadata=told, **kwargs)


def _tags(**kwargs: Any) -> fields.List[Any]:
    problem = f"must be at most {TAGS_MAX} tags"
    return fields.List(fields.Integer(strict=True), validate=Length(max=TAGS_MAX, error=problem), **kwargs)


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


class WordsOut(Schema):
    """A condition as people say it."""

    zh = fields.String()
    en = fields.String()


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
    made_by = fields.String()
    created_at = time_field()
    updated_at = time_field()


class RuleQuery(PageQuery):
    """Which rules to list."""

    state = fields.Enum(RuleState, by_value=True)


class RuleVersionOut(Schema):
    """What a rule said at one version."""

    version = fields.Integer()
    condition = fields.Dict()
    add_tag_ids = fields.List(fields.Integer())
    remove_tag_ids = fields.List(fields.Integer())
    keep = fields.Boolean()
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


class PreviewOut(Schema):
    """What it would do now."""

    count = fields.Integer(metadata={"description": "customers for whom the condition holds"})
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
    condition = fields.Dict(metadata={"description": "the tree with path, words and holds at every node"})


class RunOut(Schema):
    """A backfill or retirement of a rule."""

    id = fields.Integer()
    rule_id = fields.Integer()
    kind = fields.String(metadata={"description": "backfill | retire"})
    version = fields.Integer()
    state = fields.String(metadata={"description": "queued | running | done | failed | undoing | undone"})
    seen = fields.Integer(metadata={"description": "customers looked at"})
    left = fields.Integer(allow_none=True, metadata={"description": "customers to look at yet"})
    added = fields.Integer()
    removed = fields.Integer()
    error = fields.String(allow_none=True)
    created_at = time_field()
    finished_at = time_field(allow_none=True)
