"""Customers who have a tag, on whichever of their relations; or who lack it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf
from sqlalchemy import ColumnElement, Select, and_, exists, not_, or_, select

from scrm.kernel.db import session
from scrm.kernel.schemas import Schema
from tags.models import Tag, TagAssignment, TagSource
from tags.rules.condition_shapes import field_schema, shape_of
from tags.rules.holdings import HELD, Held, has_assignment, holds_assignment, tags_of_groups
from tags.rules.leaf_values import tags_value
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed
from tags.rules.windows import WindowField, leaving, window_words, within

MATCHES = ("any", "all", "none", "not_all")
# Who set the tag → how its source is written (tags.models.TagSource).
SOURCES = {
    "person": "manual:%",
    "rule": "rule:%",
    "channel": "channel:%",
    "link": "link:%",
    "group_code": "group_code:%",
    "wecom": "wecom",
}
SOURCE_WORDS = {
    "person": ("人工", "a person"), "rule": ("规则", "a rule"), "channel": ("渠道活码", "a channel code"),
    "link": ("获客链接", "an acquisition link"), "group_code": ("群活码", "a group code"), "wecom": ("企业微信", "WeCom"),
}  # fmt: skip


class HasTag(Schema):
    """Arguments: tags or groups of tags; ``any`` of them is there, ``all``, ``none``, or ``not_all`` (one is missing).

    With ``sources`` or ``since`` only what such a source set, or set in that time, counts as there.
    """

    tag_ids = ids_field(load_default=None)
    tag_group_ids = ids_field(load_default=None)
    match = fields.String(load_default="any", validate=OneOf(MATCHES))
    sources = fields.List(
        fields.String(validate=OneOf(sorted(SOURCES))), validate=Length(1, len(SOURCES)), load_default=None
    )
    since = WindowField(load_default=None)

    @validates_schema(skip_on_field_errors=True)
    def _names_tags(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data["tag_ids"] and not data["tag_group_ids"]:
            raise ValidationError("is required, or tag_group_ids", "tag_ids")
        if data["tag_ids"] and data["tag_group_ids"]:
            raise ValidationError("does not go with tag_ids", "tag_group_ids")


def _source_clauses(args: Args, *, timed: Sequence[Any] = ()) -> list[Any]:
    """What must hold of one source of the assignment."""
    clauses = list(timed)
    if args["sources"]:
        clauses.append(or_(*[TagSource.source.like(SOURCES[source]) for source in args["sources"]]))
    if not clauses:
        return []
    return [exists().where(TagSource.assignment_id == TagAssignment.id, *clauses).correlate(TagAssignment)]


def _clause(args: Args, now: datetime, has: Held = has_assignment) -> ColumnElement[bool]:
    timed = [within(TagSource.since, args["since"], now)] if args["since"] else []
    clauses = _source_clauses(args, timed=timed)
    ids = args["tag_ids"] or args["tag_group_ids"]
    if args["match"] in ("any", "none"):
        some = has(_named(args, ids), *clauses)
        return some if args["match"] == "any" else not_(some)
    every = and_(*[has(_named(args, [id_]), *clauses) for id_ in ids])
    return every.self_group() if args["match"] == "all" else not_(every.self_group())


def _named(args: Args, ids: Sequence[int]) -> ColumnElement[bool]:
    """One of these tags, or one of the tags of these groups."""
    return TagAssignment.tag_id.in_(ids if args["tag_ids"] else tags_of_groups(ids))


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _clause(args, now, holds_assignment)


def _reads(args: Args) -> set[str]:
    """Tags that join a group later are told as facts of the group (``tag_group:3``).

    Who set a tag, and when, may change while the customer goes on having it (``reason:tag:5``).
    """
    tag_ids = set(args["tag_ids"] or ())
    if args["tag_group_ids"]:
        tag_ids |= set(session().scalars(select(Tag.id).where(Tag.group_id.in_(args["tag_group_ids"]))))
    groups = {f"tag_group:{group_id}" for group_id in args["tag_group_ids"] or ()}
    found = {f"tag:{tag_id}" for tag_id in tag_ids} | groups
    return found | {f"reason:{fact}" for fact in found} if args["sources"] or args["since"] else found


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(TagSource.since, args["since"], since, until)
    if crossed is None:
        return None
    named = TagAssignment.tag_id.in_(args["tag_ids"] or ())
    if args["tag_group_ids"]:
        named = TagAssignment.tag_id.in_(select(Tag.id).where(Tag.group_id.in_(args["tag_group_ids"])))
    return select(TagAssignment.customer_id).where(
        named, TagAssignment.state.in_(HELD), *_source_clauses(args, timed=[crossed])
    )


def _words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    tags = listed(args["tag_ids"] or (), "tags", names, language)
    if args["tag_group_ids"]:
        groups = listed(args["tag_group_ids"], "tag_groups", names, language)
        tags = f"标签组{groups}中的标签" if zh else f"the groups {groups}"
    how = _how(args, language)
    if zh:
        told = {
            "any": "有{}（任一）",
            "all": "有{}（全部）",
            "none": "没有{}（一个也没有）",
            "not_all": "没有{}（至少缺一个）",
        }
        return told[args["match"]].format(f"标签{tags}{how}" if args["tag_ids"] else f"{tags}{how}")
    told = {
        "any": "has any of {}",
        "all": "has all of {}",
        "none": "has none of {}",
        "not_all": "lacks at least one of {}",
    }
    return told[args["match"]].format(f"the tags {tags}{how}" if args["tag_ids"] else f"{tags}{how}")


def _how(args: Args, language: Language) -> str:
    zh = language == "zh"
    who = [SOURCE_WORDS[source][0 if zh else 1] for source in args["sources"] or ()]
    by = ("由" + "或".join(who) if zh else "by " + " or ".join(who)) if who else ""
    when = window_words(args["since"], language)
    if not by and not when:
        return ""
    return (
        f"（{by}{'于' if by and when else ''}{when}打上）"
        if zh
        else " set " + " ".join(filter(None, [by, when]))
    )


def _variants() -> list[dict[str, Any]]:
    ways = "tag_ids", "tag_group_ids"
    shared = shape_of(HasTag, without=ways)["properties"]
    ids = field_schema(ids_field())
    return [
        {"properties": {**shared, way: ids, other: {"type": "null"}}, "required": [way]}
        for way, other in (ways, ways[::-1])
    ]


LEAF = Leaf(
    kind="has_tag",
    schema=HasTag,
    reads=_reads,
    clause=_clause,
    words=_words,
    refers={"tag_ids": "tags", "tag_group_ids": "tag_groups"},
    expires=_expires,
    over_all=_over_all,
    variants=_variants,
    value=tags_value,
    own_value=tags_value,
)
