"""Customers who lack tags: all of them, or at least one."""

from __future__ import annotations

from datetime import datetime

from marshmallow import fields
from marshmallow.validate import OneOf
from sqlalchemy import ColumnElement, not_, or_

from scrm.kernel.schemas import Schema
from tags.rules.holdings import has_tags
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed


class HasNotTag(Schema):
    """Arguments: the tags; ``all`` of them are missing, or ``any``, which is at least one."""

    tag_ids = ids_field(required=True)
    match = fields.String(load_default="all", validate=OneOf(["any", "all"]))


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    if args["match"] == "all":
        return not_(has_tags(args["tag_ids"]))
    return or_(*[not_(has_tags([tag_id])) for tag_id in args["tag_ids"]])


def _words(args: Args, language: Language, names: Names) -> str:
    tags = listed(args["tag_ids"], "tags", names)
    if language == "zh":
        return f"没有标签{tags}" + ("（至少缺一个）" if args["match"] == "any" else "（一个也没有）")
    return f"lacks {args['match']} of the tags {tags}"


LEAF = Leaf(
    kind="has_not_tag",
    schema=HasNotTag,
    reads=lambda args: {f"tag:{tag_id}" for tag_id in args["tag_ids"]},
    clause=_clause,
    words=_words,
    refers={"tag_ids": "tags"},
)
