"""Customers whose person did one thing and then another within a time; or did not do the other within it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from marshmallow import fields
from marshmallow.validate import Range
from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.orm import aliased

from scrm.behaviour.models import BehaviourEvent
from scrm.kernel.schemas import Schema
from tags.rules.copied import copied_filters
from tags.rules.copies import PERSON, Copied, Edges, NextJoin
from tags.rules.leaf_values import how_often
from tags.rules.leaves import Args, FlagField, Language, Leaf, Names, called, id_field
from tags.rules.persons import customers_of, is_one_of_persons, of_person, person_has
from tags.rules.properties import FiltersField, check_filters, filter_clauses, filter_words
from tags.rules.windows import MAX_HOURS, WindowField, edges, leaving, reach, window_words, within


class Step(Schema):
    """One thing that is done."""

    event_type_id = id_field(required=True)
    where = FiltersField(load_default=None)


class SequenceArgs(Schema):
    """Arguments: what comes first, what then, within how many hours, and whether it does.

    ``happens: false`` holds only once the hours have passed without it. The window is that of the first thing.
    """

    first = fields.Nested(Step, required=True)
    then = fields.Nested(Step, required=True)
    within_hours = fields.Integer(required=True, strict=True, validate=Range(1, MAX_HOURS))
    happens = FlagField(load_default=True)
    window = WindowField(load_default=None)


def _check(args: Args) -> dict[str, str]:
    for name in ("first", "then"):
        if wrong := check_filters(args[name]["event_type_id"], args[name]["where"], f"{name}.where"):
            return wrong
    return {}


def _step(event: Any, step: Mapping[str, Any], now: datetime) -> list[Any]:
    return [event.type_id == step["event_type_id"], *filter_clauses(event.properties, step["where"], now)]


def _clauses(event: Any, args: Args, now: datetime) -> list[Any]:
    """What holds of the first event, the window apart."""
    span, later = timedelta(hours=args["within_hours"]), aliased(BehaviourEvent)
    follows = (
        exists()
        .where(
            later.person_id == event.person_id,
            later.at > event.at,
            later.at <= event.at + _hours(args),
            *reach(later.at, args["window"], span, now),
            *_step(later, args["then"], now),
        )
        .correlate(event)
    )
    ends = follows if args["happens"] else and_(event.at <= now - span, ~follows)
    return [*_step(event, args["first"], now), ends]


def _hours(args: Args) -> ColumnElement[Any]:
    """As hours: three days would be those of the connection's time zone, one of which may have 23 or 25."""
    return cast(literal(f"{args['within_hours']} hours", Text), INTERVAL)


def _with_window(event: Any, args: Args, now: datetime) -> list[Any]:
    window = [within(event.at, args["window"], now)] if args["window"] else []
    return [*window, *_clauses(event, args, now)]


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    event = aliased(BehaviourEvent)
    return person_has(event, *_with_window(event, args, now))


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    event = aliased(BehaviourEvent)
    return is_one_of_persons(select(event.person_id).where(*_with_window(event, args, now)))


def _in_columns(args: Args, now: datetime, copied: Copied) -> ColumnElement[bool]:
    """Each first event beside the next one of the other kind: the nearest tells whether any is near enough."""
    span, window = timedelta(hours=args["within_hours"]), args["window"]
    begin, end = edges(window, now)
    first = _copied_step(copied, args["first"], (begin, end), now)
    later = _copied_step(copied, args["then"], (begin, end + span if end else None), now)
    one = first.where(within(first.selected_columns.at, window, now)) if window else first
    ones = one.subquery()
    next_ = later.where(*reach(later.selected_columns.at, window, span, now)).subquery()
    after = next_.c.at > ones.c.at + literal(span, INTERVAL)
    ends = [next_.c.at.is_not(None), ~after]
    if not args["happens"]:
        ends = [ones.c.at <= now - span, or_(next_.c.at.is_(None), after)]
    beside = and_(ones.c.person_id == next_.c.person_id, ones.c.at < next_.c.at)
    return PERSON.in_(select(ones.c.person_id).select_from(NextJoin(ones, next_, beside)).where(*ends))


def _copied_step(copied: Copied, step: Mapping[str, Any], between: Edges, now: datetime) -> Select[Any]:
    rows = copied.events(step["event_type_id"], between)
    return select(rows.c.person_id, rows.c.at).where(*copied_filters(rows, step["where"], now))


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    """How often the first thing came with what is asked of the then, and when last."""
    clauses = _with_window(BehaviourEvent, args, now)
    return of_person(how_often(BehaviourEvent.at), BehaviourEvent.person_id, *clauses)


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    """A first event leaves the window, or its hours are over."""
    event, span = aliased(BehaviourEvent), timedelta(hours=args["within_hours"])
    edges = [leaving(event.at, args["window"], since, until)]
    if not args["happens"]:
        edges.append(and_(event.at > since - span, event.at <= until - span))
    crossed = [edge for edge in edges if edge is not None]
    if not crossed:
        return None
    return customers_of(select(event.person_id).where(or_(*crossed), *_step(event, args["first"], until)))


def _words(args: Args, language: Language, names: Names) -> str:
    first, then = (_step_words(args[name], language, names) for name in ("first", "then"))
    when, hours, happens = window_words(args["window"], language), args["within_hours"], args["happens"]
    if language == "zh":
        return f"{when}有过{first}，之后{hours}小时内{'有过' if happens else '没有'}{then}"
    later = f"then {'did:' if happens else 'did not:'}"
    return " ".join(filter(None, ["did:", first, when])) + f", and {later} {then} within {hours} hours"


def _step_words(step: Mapping[str, Any], language: Language, names: Names) -> str:
    type_id = step["event_type_id"]
    return called("event_types", type_id, names, language) + filter_words(
        type_id, step["where"], language, names
    )


LEAF = Leaf(
    kind="sequence",
    schema=SequenceArgs,
    reads=lambda args: {f"event:{args[name]['event_type_id']}" for name in ("first", "then")},
    clause=_clause,
    words=_words,
    refers={"first.event_type_id": "event_types", "then.event_type_id": "event_types"},
    expires=_expires,
    over_all=_over_all,
    in_columns=_in_columns,
    in_order=True,
    check=_check,
    value=_value,
)
