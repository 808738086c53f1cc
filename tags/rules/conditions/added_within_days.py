"""Customers with a present relation that began at most N times 24 hours ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from marshmallow import fields
from marshmallow.validate import Range
from sqlalchemy import ColumnElement, Select, select

from scrm.customers.models import Follow
from scrm.kernel.schemas import Schema
from tags.rules.leaves import Args, Language, Leaf, Names, reads_always
from tags.rules.relations import added_at, live_follow

MAX_DAYS = 3650


class AddedWithinDays(Schema):
    """Arguments: how many days back."""

    days = fields.Integer(required=True, strict=True, validate=Range(1, MAX_DAYS))


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return live_follow(added_at() > now - timedelta(days=args["days"]))


def _words(args: Args, language: Language, names: Names) -> str:
    days = args["days"]
    return f"最近{days}天内添加" if language == "zh" else f"was added within the last {days} days"


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any]:
    back = timedelta(days=args["days"])
    return select(Follow.customer_id).where(added_at() > since - back, added_at() <= until - back)


LEAF = Leaf(
    kind="added_within_days",
    schema=AddedWithinDays,
    reads=reads_always("follows"),
    clause=_clause,
    words=_words,
    expires=_expires,
)
