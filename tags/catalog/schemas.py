"""Tags and tag groups as the API takes and shows them, with WeCom's limits (wecom-api.md section 4.3)."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from scrm.kernel.schemas import PageQuery, Schema, time_field
from tags.catalog.service.editing import MAX_TAGS
from tags.catalog.service.switching import AtWecom
from tags.models import Preference, Push

NAME_LENGTH = 30
ORDER_MAX = 2**32 - 1


def _name(**kwargs: Any) -> fields.String:
    problem = f"must be 1 to {NAME_LENGTH} characters"
    return fields.String(validate=[Length(1, NAME_LENGTH, error=problem), _clean], **kwargs)


def _clean(value: str) -> None:
    if value != value.strip() or not value.isprintable():
        raise ValidationError("must not begin or end with a space or hold control characters")


def _order(**kwargs: Any) -> fields.Integer:
    problem = "must be a whole number from 0 to 4294967295; larger comes first"
    return fields.Integer(
        strict=True, validate=Range(0, ORDER_MAX, error=problem), attribute="position", **kwargs
    )


class NewTag(Schema):
    """A tag to make."""

    name = _name(required=True)
    order = _order(load_default=0)


class NewTags(Schema):
    """Tags to make in a group."""

    tags = fields.List(
        fields.Nested(NewTag),
        required=True,
        validate=Length(1, MAX_TAGS, error=f"must be 1 to {MAX_TAGS} tags"),
    )


def _exclusive(**kwargs: Any) -> fields.Boolean:
    told = {"description": "one of: a relation carries one tag of the group at most (level, stage)"}
    return fields.Boolean(metadata=told, **kwargs)


def _prefers(**kwargs: Any) -> fields.Enum[Any]:
    told = {"description": "of an exclusive group: whose tag stays, that of people or that of rules"}
    return fields.Enum(Preference, by_value=True, metadata=told, **kwargs)


def _push(**kwargs: Any) -> fields.Enum[Any]:
    told = {
        "description": "wecom: at WeCom too, within its 3,000 tags; local: kept here alone, without that limit"
    }
    return fields.Enum(Push, by_value=True, metadata=told, **kwargs)


class NewTagGroup(NewTags):
    """A group to make; WeCom has no group without tags."""

    name = _name(required=True)
    order = _order(load_default=0)
    exclusive = _exclusive(load_default=False)
    prefers = _prefers(load_default=Preference.PEOPLE)
    push = _push(load_default=Push.WECOM)


class SwitchIn(Schema):
    """Where a group is to live from now on."""

    push = _push(required=True)
    at_wecom = fields.Enum(
        AtWecom,
        by_value=True,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "of push local: the tags at WeCom stay there (keep) or are deleted (delete)"
        },
    )


class ConfirmedSwitchIn(SwitchIn):
    """The same, with the yes of somebody who saw the numbers."""

    confirm = fields.String(
        load_default=None,
        allow_none=True,
        validate=Length(max=64),
        metadata={"description": "the token of the preview"},
    )


class SentenceOut(Schema):
    """The same in both languages."""

    zh = fields.String()
    en = fields.String()


class SwitchOut(Schema):
    """What a switch would do."""

    group_id = fields.Integer()
    push = _push()
    at_wecom = fields.String(allow_none=True)
    tags = fields.Integer(metadata={"description": "tags of the group"})
    relations = fields.Integer(metadata={"description": "relations that hold one of them"})
    reachable = fields.Integer(metadata={"description": "of them, those WeCom can be told of now"})
    wecom_calls = fields.Integer(
        metadata={"description": "calls it takes: the list's, and one mark_tag a relation"}
    )
    wecom_seconds = fields.Float(metadata={"description": "how long WeCom's limits make them take"})
    words = fields.Nested(SentenceOut)
    confirm = fields.String(metadata={"description": "say yes with this"})


class ChangeIn(Schema):
    """Another name, another order, or both."""

    name = _name()
    order = _order()

    @validates_schema
    def _something(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data:
            raise ValidationError(f"give {', '.join(self.fields)} or several of them")


class GroupChangeIn(ChangeIn):
    """Another name or order, and which of its tags go together."""

    exclusive = _exclusive()
    prefers = _prefers()


class PendingChange(Schema):
    """What WeCom has yet to accept."""

    name = fields.String()
    order = fields.Integer(attribute="position")
    deleted = fields.Boolean()


class TagOut(Schema):
    """A tag as it stands."""

    id = fields.Integer(required=True)
    wecom_id = fields.String(allow_none=True, metadata={"description": "empty until WeCom accepted it"})
    group_id = fields.Integer()
    push = _push()
    name = fields.String(required=True)
    order = fields.Integer(attribute="position")
    state = fields.String(metadata={"description": "active | pending | failed"})
    pending = fields.Nested(PendingChange, allow_none=True)
    failed = fields.String(allow_none=True, metadata={"description": "why WeCom refused, errcode first"})
    effect_id = fields.Integer(allow_none=True, metadata={"description": "the last call about it"})
    customers = fields.Integer(metadata={"description": "how many customers have it; only in a single tag"})
    created_at = time_field()
    updated_at = time_field()


class TagGroupOut(Schema):
    """A group with its tags, in WeCom's order."""

    id = fields.Integer(required=True)
    wecom_id = fields.String(allow_none=True)
    name = fields.String(required=True)
    order = fields.Integer(attribute="position")
    state = fields.String(metadata={"description": "active | pending | failed"})
    pending = fields.Nested(PendingChange, allow_none=True)
    failed = fields.String(allow_none=True)
    effect_id = fields.Integer(allow_none=True)
    exclusive = _exclusive()
    prefers = _prefers()
    push = _push()
    switching = fields.Boolean(
        metadata={"description": "relations that hold its tags still follow a change of push"}
    )
    namesake_id = fields.Integer(
        allow_none=True,
        metadata={
            "description": "another group of this name, one at WeCom and one kept here alone; rename one"
        },
    )
    settling = fields.Boolean(
        metadata={"description": "relations that hold several of its tags are still being looked at"}
    )
    tags = fields.List(fields.Nested(TagOut))
    created_at = time_field()
    updated_at = time_field()


class TagList(Schema):
    """Tags that were made."""

    items = fields.List(fields.Nested(TagOut))


class TagQuery(PageQuery):
    """Which tags to list."""

    group_id = fields.Integer()
    q = fields.String(validate=Length(1, NAME_LENGTH), metadata={"description": "part of the name"})


class TagPullOut(Schema):
    """The report of one fetch of the tag list."""

    id = fields.Integer()
    state = fields.String()
    whole = fields.Boolean()
    started_at = time_field()
    finished_at = time_field()
    seen = fields.Integer()
    added = fields.Integer()
    changed = fields.Integer()
    gone = fields.Integer()
    error = fields.String(allow_none=True)
