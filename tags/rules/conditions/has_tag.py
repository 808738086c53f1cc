"""Customers who have a tag, on whichever of their relations."""

from __future__ import annotations

from datetime import datetime

from marshmallow import fields
from marshmallow.validate import OneOf
from sqlalchemy import ColumnElement, and_

from scrm.kernel.schemas import Schema
from tags.rules.holdings import has_tags
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed


class HasTag(Schema):
    """Arguments: the tags, and whether one of them is enough."""

    tag_ids = ids_field(required=True)
    match = fields.String(load_default="any", validate=OneOf(["any", "all"]))


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    if args["match"] == "any":
        return has_tags(args["tag_ids"])
    return and_(*[has_tags([tag_id]) for tag_id in args["tag_ids"]])


def _words(args: Args, language: Language, names: Names) -> str:
    tags = listed(args["tag_ids"], "tags", names)
    if language == "zh":
        return f"有标签{tags}" + ("（任一）" if args["match"] == "any" else "（全部）")
    return f"has {args['match']} of the tags {tags}"


LEAF = Leaf(
    kind="has_tag",
    schema=HasTag,
    reads=lambda args: {f"tag:{tag_id}" for tag_id in args["tag_ids"]},
    clause=_clause,
    words=_words,
    refers={"tag_ids": "tags"},
)
