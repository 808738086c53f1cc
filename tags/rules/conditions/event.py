"""Customers whose person did something, so often or so much of it; or did not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Regexp
from sqlalchemy import ColumnElement, Select, literal_column, select, union_all

from scrm.behaviour.models import BehaviourEvent, EventDay
from scrm.kernel.schemas import Schema
from tags.rules.copied import copied_filters, copied_measure, copied_number
from tags.rules.copies import Copied
from tags.rules.leaves import MAX_ID, Args, Language, Leaf, Names, called, id_field
from tags.rules.measures import (
    FIGURES,
    amount_of,
    check_measure,
    happens_at_least_once,
    happens_never,
    local_day,
    measure_fields,
    measure_variants,
    measure_words,
    measured,
)
from tags.rules.persons import (
    counts_of_persons,
    customers_of,
    is_one_of_persons,
    of_person,
    person_counts,
    person_has,
)
from tags.rules.properties import (
    KEY_PATTERN,
    FiltersField,
    check_filters,
    check_number,
    filter_clauses,
    filter_words,
    number_of,
    property_name,
)
from tags.rules.windows import edges, leaving, midnight, span, today, window_words, within

COUNTED = Schema.from_dict(measure_fields(), name="Counted")


class EventArgs(COUNTED):  # type: ignore[valid-type,misc]  # made of shared fields
    """Arguments: the type of event, how often (or how much of a property) in which window, and filters."""

    event_type_id = id_field(required=True)
    property = fields.String(load_default=None, validate=Regexp(KEY_PATTERN))
    where = FiltersField(load_default=None)

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        check_measure(data)
        if (data["measure"] in FIGURES) != (data["property"] is not None):
            raise ValidationError(f"goes with {', '.join(FIGURES)} and is required by them", "property")


def _check(args: Args) -> dict[str, str]:
    wrong = check_number(args["event_type_id"], args["property"]) if args["property"] else {}
    return wrong or check_filters(args["event_type_id"], args["where"], "where")


def _clauses(args: Args, now: datetime) -> list[Any]:
    found = [BehaviourEvent.type_id == args["event_type_id"]]
    if args["window"]:
        found.append(within(BehaviourEvent.at, args["window"], now))
    return found + filter_clauses(BehaviourEvent.properties, args["where"], now)


def _figure(args: Args) -> Any:
    return number_of(BehaviourEvent.properties, args["property"]) if args["property"] else None


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    clauses = _clauses(args, now)
    return measured(
        args,
        local_day(BehaviourEvent.at),
        _figure(args),
        lambda having: person_counts(BehaviourEvent.person_id, clauses, having),
        person_has(BehaviourEvent, *clauses),
    )


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    people, figure = select(BehaviourEvent.person_id).where(*_clauses(args, now)), None
    if args["measure"] == "days" and not args["where"]:
        people, args = _active_days(args, now), {**args, "measure": "count"}
    elif args["property"]:
        people, figure = _figures(people, args)
    grouped = people.group_by(people.selected_columns[0])
    return measured(
        args,
        local_day(BehaviourEvent.at),
        figure,
        lambda having: counts_of_persons(grouped.having(having)),
        is_one_of_persons(people),
    )


def _figures(people: Select[Any], args: Args) -> tuple[Select[Any], Any]:
    """The same rows with nothing of their properties but the figure, and the figure's column.

    It is read from the properties once, by the parallel workers that find the rows, and not where they are grouped.
    ``OFFSET 0`` keeps it there: PostgreSQL does not merge such a query into the one around it.
    """
    rows = people.add_columns(_figure(args).label("figure")).offset(literal_column("0")).subquery("rows")
    return select(rows.c.person_id), rows.c.figure


def _active_days(args: Args, now: datetime) -> Select[Any]:
    """The person of every day on which such events happened, once a day: from the days that are counted already.

    Of the day in which a rolling window begins the events themselves tell whether one lies in it.
    """
    days = select(EventDay.person_id).where(EventDay.type_id == args["event_type_id"])
    window = args["window"]
    if window is None:
        return days
    if "begin" in window:
        return days.where(EventDay.day.between(window["begin"], window["end"]))
    first = today(now - span(window))
    rest = BehaviourEvent.at < midnight(first + timedelta(days=1))
    begun = select(BehaviourEvent.person_id).where(*_clauses(args, now), rest).distinct()
    both = union_all(days.where(EventDay.day > first), begun).subquery("days")
    return select(both.c.person_id)


def _in_columns(args: Args, now: datetime, copied: Copied) -> ColumnElement[bool]:
    rows = copied.events(args["event_type_id"], edges(args["window"], now))
    clauses = [within(rows.c.at, args["window"], now)] if args["window"] else []
    people = select(rows.c.person_id).where(*clauses, *copied_filters(rows, args["where"], now))
    figure = copied_number(rows, args["property"]) if args["property"] else None
    return copied_measure(args, people, rows.c.day, figure)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    amount = amount_of(args, BehaviourEvent.at, _figure(args))
    return of_person(amount, BehaviourEvent.person_id, *_clauses(args, now))


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(BehaviourEvent.at, args["window"], since, until)
    if crossed is None:
        return None
    clauses = _clauses({**args, "window": None}, until)
    return customers_of(select(BehaviourEvent.person_id).where(crossed, *clauses))


def _words(args: Args, language: Language, names: Names) -> str:
    zh, type_id = language == "zh", args["event_type_id"]
    what = called("event_types", type_id, names, language) + filter_words(
        type_id, args["where"], language, names
    )
    when = window_words(args["window"], language)
    if happens_at_least_once(args):
        return f"{when}有过{what}" if zh else " ".join(filter(None, ["did:", what, when]))
    if happens_never(args):
        return f"{when}没有{what}" if zh else " ".join(filter(None, ["did not:", what, when]))
    figure = property_name(type_id, args["property"], language, names) if args["property"] else ""
    much = measure_words(args, figure, ("次", "times"), language)
    return f"{when}{what}{much}" if zh else " ".join(filter(None, ["did:", what, much, when]))


def _variants() -> list[dict[str, Any]]:
    shared = {
        "event_type_id": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
        "where": {"anyOf": [FiltersField().json_schema, {"type": "null"}]},
    }
    return [
        {"properties": {**shared, **each["properties"]}, "required": ["event_type_id", *each["required"]]}
        for each in measure_variants({"property": {"type": "string", "pattern": KEY_PATTERN}}, ["property"])
    ]


LEAF = Leaf(
    kind="event",
    schema=EventArgs,
    reads=lambda args: {f"event:{args['event_type_id']}"},
    clause=_clause,
    words=_words,
    refers={"event_type_id": "event_types"},
    expires=_expires,
    over_all=_over_all,
    in_order=True,
    in_columns=_in_columns,
    check=_check,
    variants=_variants,
    value=_value,
)
