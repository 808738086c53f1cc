"""Customers who wrote a keyword to us, ever or within N times 24 hours; upper and lower case are the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from marshmallow import fields
from marshmallow.validate import And, Length, OneOf, Range
from sqlalchemy import ColumnElement, Select, exists, func, or_, select

from scrm.conversations.models import Direction, Message
from scrm.customers.models import Customer
from scrm.kernel.schemas import Schema
from tags.rules.leaf_values import how_often
from tags.rules.leaves import Args, Language, Leaf, Names, any_quoted, plain_text, reads_always

MAX_KEYWORDS = 20
MAX_LENGTH = 100
MAX_DAYS = 3650


class SaidKeyword(Schema):
    """Arguments: one of the keywords is contained in a message, or is the whole message."""

    keywords = fields.List(
        fields.String(validate=And(Length(1, MAX_LENGTH), plain_text)),
        required=True,
        validate=Length(1, MAX_KEYWORDS),
    )
    match = fields.String(load_default="contains", validate=OneOf(["contains", "exact"]))
    within_days = fields.Integer(load_default=None, allow_none=True, strict=True, validate=Range(1, MAX_DAYS))


def _says(args: Args) -> ColumnElement[bool]:
    if args["match"] == "exact":
        wanted = [keyword.strip().lower() for keyword in args["keywords"]]
        return func.lower(func.btrim(Message.text, " \t\r\n")).in_(wanted)
    return or_(*[Message.text.icontains(keyword, autoescape=True) for keyword in args["keywords"]])


def _clauses(args: Args, now: datetime) -> list[Any]:
    found = [Message.customer_id == Customer.id, Message.direction == Direction.IN, _says(args)]
    if args["within_days"]:
        found.append(Message.sent_at > now - timedelta(days=args["within_days"]))
    return found


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return exists().where(*_clauses(args, now)).correlate(Customer)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    """How many such messages, and when the last one came; not what they say."""
    said = select(how_often(Message.sent_at)).where(*_clauses(args, now))
    return said.correlate(Customer).scalar_subquery()


def _words(args: Args, language: Language, names: Names) -> str:
    said, days, exact = any_quoted(args["keywords"], language), args["within_days"], args["match"] == "exact"
    if language == "zh":
        return (f"最近{days}天内" if days else "") + ("发过" if exact else "说过") + said
    return (
        ("wrote exactly " if exact else "wrote ") + said + (f" within the last {days} days" if days else "")
    )


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    if not args["within_days"]:
        return None
    back = timedelta(days=args["within_days"])
    return select(Message.customer_id).where(
        Message.customer_id.is_not(None),
        Message.direction == Direction.IN,
        Message.sent_at > since - back,
        Message.sent_at <= until - back,
        _says(args),
    )


LEAF = Leaf(
    kind="said_keyword",
    schema=SaidKeyword,
    reads=reads_always("messages"),
    clause=_clause,
    words=_words,
    expires=_expires,
    value=_value,
)
