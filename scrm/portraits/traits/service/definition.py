"""What a definition of a trait means, in SQL.

Rows are events of one type, or lines of paid orders that were neither cancelled nor given back whole. A filter on a value
that a row does not have does not hold, ``ne`` included. Ties are decided by the order of arrival (first, last) and
towards the smaller value (most frequent). Of a list (tags, categories) each item counts as a value, once per row; a filter
``eq`` or ``in`` on one holds where an item is among the wanted values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from scrm.behaviour.models import EventType
from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.batch import any_moment
from scrm.kernel.errors import InvalidInput

MOST_LISTED = 100


class Measure(StrEnum):
    """How rows become one value."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    MOST_FREQUENT = "most_frequent"
    UNIQUE_COUNT = "unique_count"
    UNIQUE_LIST = "unique_list"


class Kind(StrEnum):
    """What a field holds."""

    NUMBER = "num"
    TEXT = "text"
    TIME = "time"
    FLAG = "flag"
    LIST = "list"  # of texts


PROPERTY_KINDS = {
    PropertyType.TEXT: Kind.TEXT, PropertyType.NUMBER: Kind.NUMBER, PropertyType.INTEGER: Kind.NUMBER,
    PropertyType.BOOLEAN: Kind.FLAG, PropertyType.TIME: Kind.TIME,
    PropertyType.LIST: Kind.LIST,
}  # fmt: skip
LINE_FIELDS = {
    "amount": (Kind.NUMBER, "l.amount"), "quantity": (Kind.NUMBER, "l.quantity"), "product": (Kind.TEXT, "l.product_ref"),
    "category": (Kind.TEXT, "p.category"), "brand": (Kind.TEXT, "p.brand"), "shop": (Kind.TEXT, "o.shop"),
    "region": (Kind.TEXT, "o.region"), "seller": (Kind.TEXT, "o.seller"), "currency": (Kind.TEXT, "o.currency"),
    "paid_at": (Kind.TIME, "o.paid_at"),
}  # fmt: skip
OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
CASTS = {Kind.NUMBER: "numeric", Kind.TIME: "timestamptz", Kind.TEXT: "text", Kind.FLAG: "text"}
AGGREGATES = {
    Measure.COUNT: "count(*)", Measure.SUM: "sum(v)", Measure.AVG: "round(avg(v), 6)", Measure.MIN: "min(v)",
    Measure.MAX: "max(v)", Measure.FIRST: "(array_agg(v ORDER BY at, tie))[1]",
    Measure.LAST: "(array_agg(v ORDER BY at DESC, tie DESC))[1]",
    Measure.MOST_FREQUENT: "mode() WITHIN GROUP (ORDER BY v)", Measure.UNIQUE_COUNT: "count(DISTINCT v)",
    Measure.UNIQUE_LIST: f"to_jsonb((array_agg(DISTINCT v ORDER BY v))[1:{MOST_LISTED}])",
}  # fmt: skip
NUMBERS = {Measure.SUM, Measure.AVG}
COUNTED = {Measure.COUNT, Measure.UNIQUE_COUNT}
OF_ITEMS = {Measure.MOST_FREQUENT, Measure.UNIQUE_COUNT, Measure.UNIQUE_LIST}


@dataclass
class Compiled:
    """SQL of a definition: rows (person_id, at, tie, v), how they become one value, and where it is kept."""

    rows: str
    aggregate: str
    column: str
    values: dict[str, Any] = field(default_factory=dict)


def compile_definition(given: dict[str, Any], event_type: EventType | None) -> Compiled:
    """The SQL of a definition.

    :param event_type: of a definition over events
    :raises InvalidInput: a field that does not exist, or one that does not go with the measure
    """
    values: dict[str, Any] = {}
    measure = Measure(given["measure"])
    kind, expression = Kind.NUMBER, "1"
    if measure is not Measure.COUNT:
        if not given["field"]:
            raise InvalidInput.field("definition.field", f"is required by {measure}")
        kind, expression = _field("definition.field", given["field"], event_type, values, "v")
        _fits(given, measure, kind)
    elif given["field"]:
        raise InvalidInput.field("definition.field", "does not go with count: rows are counted")
    clauses = [_clause(n, one, event_type, values) for n, one in enumerate(given["filters"])]
    items = ""
    if kind is Kind.LIST:
        kind, expression, items = Kind.TEXT, 'i.item COLLATE "C"', _ITEMS.format(expression)
    return Compiled(
        _rows(event_type, (expression, items), [f"({expression}) IS NOT NULL", *clauses], values),
        AGGREGATES[measure],
        _column(measure, kind),
        values,
    )


def _fits(given: dict[str, Any], measure: Measure, kind: Kind) -> None:
    if measure in NUMBERS and kind is not Kind.NUMBER:
        raise InvalidInput.field("definition.field", f"must hold numbers for {measure}")
    if kind is Kind.LIST and measure not in OF_ITEMS:
        raise InvalidInput.field(
            "definition.field", f"is a list, which goes with {', '.join(sorted(OF_ITEMS))}"
        )
    if measure in (Measure.MIN, Measure.MAX) and kind not in (Kind.NUMBER, Kind.TIME):
        raise InvalidInput.field("definition.field", f"must hold numbers or times for {measure}")
    money = given["source"] == "order_lines" and given["field"] == "amount" and measure not in COUNTED
    one = any(f["field"] == "currency" and f["op"] == "eq" for f in given["filters"])
    if money and not one:
        raise InvalidInput.field(
            "definition.filters", "must name one currency: amounts of several cannot be compared"
        )


def _column(measure: Measure, kind: Kind) -> str:
    if measure is Measure.UNIQUE_LIST:
        return "value_list"
    if measure in COUNTED:
        return "value_num"
    return f"value_{Kind.TEXT if kind is Kind.FLAG else kind}"


def _field(
    path: str, name: str, event_type: EventType | None, values: dict[str, Any], bind: str
) -> tuple[Kind, str]:
    if event_type is None:
        if name not in LINE_FIELDS:
            raise InvalidInput.field(path, f"is none of {', '.join(LINE_FIELDS)}")
        kind, expression = LINE_FIELDS[name]
        return kind, f'{expression} COLLATE "C"' if kind is Kind.TEXT else expression
    if name == "at":
        return Kind.TIME, "e.at"
    known = {one["key"]: PROPERTY_KINDS.get(PropertyType(one["type"])) for one in event_type.properties}
    found = known.get(name)
    if found is None:
        usable = ", ".join(["at", *(key for key, kind in known.items() if kind)])
        raise InvalidInput.field(path, f"is none of the properties that can be used: {usable}")
    values[bind] = name
    return found, _property(found, bind)


def _property(kind: Kind, bind: str) -> str:
    """A property's value; one that is not of its type (from before the type was changed) is none."""
    raw = f"(e.properties ->> CAST(:{bind} AS text))"
    if kind is Kind.LIST:
        given = f"e.properties -> CAST(:{bind} AS text)"
        return f"CASE WHEN jsonb_typeof({given}) = 'array' THEN {given} END"
    if kind is Kind.TIME:
        return f"CASE WHEN pg_input_is_valid({raw}, 'timestamptz') THEN CAST({raw} AS timestamptz) END"
    of = {Kind.NUMBER: "number", Kind.TEXT: "string", Kind.FLAG: "boolean"}[kind]
    value = f"CAST({raw} AS numeric)" if kind is Kind.NUMBER else f'{raw} COLLATE "C"'
    return f"CASE WHEN jsonb_typeof(e.properties -> CAST(:{bind} AS text)) = '{of}' THEN {value} END"


def _clause(n: int, given: dict[str, Any], event_type: EventType | None, values: dict[str, Any]) -> str:
    path = f"definition.filters.{n}"
    kind, expression = _field(f"{path}.field", given["field"], event_type, values, f"f{n}")
    many = given["op"] == "in"
    wanted = given["value"] if isinstance(given["value"], list) else [given["value"]]
    if many != isinstance(given["value"], list) or not wanted:
        raise InvalidInput.field(f"{path}.value", "must be a list with op in, and one value otherwise")
    if kind is Kind.LIST and given["op"] not in ("eq", "in"):
        raise InvalidInput.field(f"{path}.op", "must be eq or in for a list")
    good = (int, float) if kind is Kind.NUMBER else (bool,) if kind is Kind.FLAG else (str,)
    if any(type(value) not in good for value in wanted):
        raise InvalidInput.field(f"{path}.value", f"must be of the field's type: {kind}")
    bound = [value if type(value) is str else orjson.dumps(value).decode() for value in wanted]
    if kind is Kind.TIME:
        _check_times(path, bound)
    if kind is Kind.LIST:
        values[f"w{n}"] = bound
        return f"jsonb_exists_any({expression}, CAST(:w{n} AS text[]))"
    values[f"w{n}"] = bound if many else bound[0]
    if many:
        return f"({expression}) = ANY(CAST(:w{n} AS {CASTS[kind]}[]))"
    return f"({expression}) {OPERATORS[given['op']]} CAST(:w{n} AS {CASTS[kind]})"


def _check_times(path: str, given: list[str]) -> None:
    try:
        for value in given:
            any_moment(value)
    except ValueError as problem:
        raise InvalidInput.field(f"{path}.value", str(problem)) from None


_ITEMS = " CROSS JOIN LATERAL (SELECT DISTINCT jsonb_array_elements_text({}) AS item) i"


def _rows(
    event_type: EventType | None, value: tuple[str, str], clauses: list[str], values: dict[str, Any]
) -> str:
    """Rows of a definition; ``value`` is the expression, and what it needs joined."""
    if event_type is not None:
        values["type_id"] = event_type.id
        return f"""SELECT e.person_id, e.at, e.id AS tie, {value[0]} AS v FROM behaviour_events e{value[1]}
          WHERE e.type_id = :type_id AND {" AND ".join(clauses)} {{only_events}}"""  # noqa: S608  # own columns
    return f"""SELECT o.person_id, o.paid_at AS at, o.id * 1000 + l.line_no AS tie, {value[0]} AS v
      FROM orders o JOIN order_lines l ON l.order_id = o.id LEFT JOIN products p ON p.id = l.product_id
      WHERE o.paid_at IS NOT NULL AND o.person_id IS NOT NULL AND o.status <> 'cancelled'
        AND NOT (o.status = 'refunded' AND o.refunded_amount = 0) AND (o.amount = 0 OR o.refunded_amount < o.amount)
        AND {" AND ".join(clauses)} {{only_orders}}"""  # noqa: S608  # own columns
