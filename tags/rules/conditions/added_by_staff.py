"""Customers that one of certain members has as a contact now (active or half)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement

from scrm.customers.models import Follow
from scrm.kernel.schemas import Schema
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed, reads_always
from tags.rules.relations import live_follow


class AddedByStaff(Schema):
    """Arguments: any of these members."""

    staff_ids = ids_field(required=True)


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return live_follow(Follow.staff_id.in_(args["staff_ids"]))


def _words(args: Args, language: Language, names: Names) -> str:
    who = listed(args["staff_ids"], "staff", names)
    return f"由{who}添加" if language == "zh" else f"was added by {who}"


LEAF = Leaf(
    kind="added_by_staff",
    schema=AddedByStaff,
    reads=reads_always("follows"),
    clause=_clause,
    words=_words,
    refers={"staff_ids": "staff"},
)
