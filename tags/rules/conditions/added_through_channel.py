"""Customers who have a present relation that began with one of certain channel codes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Text, column, select, table

from scrm.customers.models import Follow
from scrm.kernel.schemas import Schema
from tags.rules.leaves import Args, Language, Leaf, Names, ids_field, listed, reads_always
from tags.rules.relations import live_follow

# By name: channel codes belong to a package further down the data's way, which this one must not import.
CODES = table("channel_codes", column("id", BigInteger), column("state", Text))


class AddedThroughChannel(Schema):
    """Arguments: any of these channel codes."""

    channel_code_ids = ids_field(required=True)


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    states = select(CODES.c.state).where(CODES.c.id.in_(args["channel_code_ids"]))
    return live_follow(Follow.state.in_(states))


def _words(args: Args, language: Language, names: Names) -> str:
    codes = listed(args["channel_code_ids"], "channel_codes", names)
    return f"通过渠道活码{codes}添加" if language == "zh" else f"was added through channel code {codes}"


LEAF = Leaf(
    kind="added_through_channel",
    schema=AddedThroughChannel,
    reads=reads_always("follows"),
    clause=_clause,
    words=_words,
    refers={"channel_code_ids": "channel_codes"},
)
