"""How much of something: a number of rows or days, or the sum, average, least or greatest of a figure of theirs.

Nothing done is a count of 0, but no sum, average, least or greatest: comparisons of those are false then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, fields
from marshmallow.validate import Length, OneOf
from sqlalchemy import ColumnElement, Date, Text, cast, distinct, func, literal, not_

from scrm.kernel.settings import settings
from tags.rules import comparisons
from tags.rules.comparisons import MAX_NUMBER, Kind, compare
from tags.rules.leaf_values import how_often
from tags.rules.leaves import Language
from tags.rules.phrases import number
from tags.rules.windows import WindowField

COUNTS = ("count", "days")
FIGURES = ("sum", "avg", "min", "max")
OPS = ("equals", "gte", "lte", "gt", "lt", "between")
MAX_COUNT = 10**9
OP_WORDS = {
    "equals": ("等于{}", "exactly {}"), "gte": ("不少于{}", "at least {}"), "lte": ("不多于{}", "at most {}"),
    "gt": ("多于{}", "more than {}"), "lt": ("少于{}", "less than {}"), "between": ("在{}到{}之间", "between {} and {}"),
}  # fmt: skip
FIGURE_WORDS = {
    "sum": ("合计", "sum"), "avg": ("平均", "average"), "min": ("最小", "smallest"), "max": ("最大", "largest"),
}  # fmt: skip
Counted = Callable[[Any], ColumnElement[bool]]


def measure_fields() -> dict[str, fields.Field[Any]]:
    """``measure``, ``op``, ``value``, ``values``, ``window``; without any: at least once, whenever."""
    return {
        "measure": fields.String(load_default="count", validate=OneOf([*COUNTS, *FIGURES])),
        "op": fields.String(load_default="gte", validate=OneOf(OPS)),
        "value": fields.Raw(),
        "values": fields.List(fields.Raw(), validate=Length(2, 2)),
        "window": WindowField(load_default=None),
    }


def check_measure(data: dict[str, Any]) -> None:
    """Refuse a value that does not fit the measure; ``did`` (no value) means at least once.

    :raises ValidationError: naming the argument
    """
    counts = data["measure"] in COUNTS
    if counts and data["op"] == "gte" and "value" not in data and "values" not in data:
        data["value"] = 1
    for path, problem in comparisons.problems(Kind.NUMBER, data).items():
        name, _, place = path.partition(".")
        raise ValidationError({name: {int(place): [problem]} if place else [problem]})
    given = [data["value"]] if "value" in data else data["values"]
    whole = all(isinstance(value, int) and 0 <= value <= MAX_COUNT for value in given)
    if counts and not whole:
        raise ValidationError(f"must be whole, 0 to {MAX_COUNT}", "value" if "value" in data else "values")


def measured(
    args: Mapping[str, Any], day: Any, figure: Any, counted: Counted, at_all: ColumnElement[bool]
) -> ColumnElement[bool]:
    """The comparison of the measure as a predicate over customers.

    :param day: the day of a row, in the corp's zone
    :param figure: what of a row is summed and so on
    :param counted: condition on the rows of one person together → predicate over customers, false without rows
    :param at_all: predicate over customers: there is a row
    """
    measure, op = args["measure"], args["op"]
    if measure in FIGURES:
        return counted(compare(Kind.NUMBER, getattr(func, measure)(figure), args, _NEVER))
    amount = func.count() if measure == "count" else func.count(distinct(day))
    low, high = _bounds(op, args)
    if low <= 1 and high is None:
        return at_all if low == 1 else literal(True)
    if low > 0:
        return counted(amount.between(low, high) if high is not None else amount >= low)
    if high is None or high < 0:
        return literal(high is None)
    return not_(counted(amount > high) if high > 0 else at_all)


def amount_of(args: Mapping[str, Any], moment: Any, figure: Any) -> Any:
    """What of a person's rows is compared, for people to read: how often and when last, or the figure."""
    measure = args["measure"]
    if measure in FIGURES:
        return getattr(func, measure)(figure)
    return how_often(moment) if measure == "count" else func.count(distinct(local_day(moment)))


_NEVER: Any = None  # comparisons of numbers look at no clock


def _bounds(op: str, args: Mapping[str, Any]) -> tuple[int, int | None]:
    """Lowest and highest count, both within; None: no highest."""
    if op == "between":
        return args["values"][0], args["values"][1]
    value = args["value"]
    return {
        "equals": (value, value), "gte": (value, None), "gt": (value + 1, None), "lte": (0, value), "lt": (0, value - 1),
    }[op]  # fmt: skip


def local_day(moment: Any) -> Any:
    """The day of a moment in the corp's zone."""
    return cast(func.timezone(literal(str(settings().corp.zone), Text), moment), Date)


def measure_words(args: Mapping[str, Any], figure: str, unit: tuple[str, str], language: Language) -> str:
    """``不少于3次``, ``at least 3 times``; ``金额合计多于100``, ``with a sum of 金额 more than 100``.

    :param figure: what people call what is summed
    :param unit: what is counted, in both languages
    """
    zh = language == "zh"
    values = [args["value"]] if "value" in args else args["values"]
    told = OP_WORDS[args["op"]][0 if zh else 1].format(*map(number, values))
    if args["measure"] in FIGURES:
        name = FIGURE_WORDS[args["measure"]][0 if zh else 1]
        return f"{figure}{name}{told}" if zh else f"with {name} of {figure} {told}"
    if args["measure"] == "days":
        return f"的天数{told}" if zh else f"on {told} days"
    return f"{told}{unit[0]}" if zh else f"{told} {unit[1]}"


def happens_at_least_once(args: Mapping[str, Any]) -> bool:
    """Whether nothing more is asked than that it happened."""
    return args["measure"] == "count" and _bounds(args["op"], args) == (1, None)


def happens_never(args: Mapping[str, Any]) -> bool:
    """Whether what is asked is that it did not happen."""
    return args["measure"] in COUNTS and _bounds(args["op"], args) == (0, 0)


def measure_variants(figure: dict[str, Any], required: list[str]) -> list[dict[str, Any]]:
    """JSON Schema of the arguments of :func:`measure_fields`, one for every shape.

    :param figure: properties that go with sums and the like; ``required`` those of them that must be there
    """
    count = {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}
    amount = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
    window = {"window": {"anyOf": [WindowField.json_schema, {"type": "null"}]}}
    found = []
    for measures, value, more, needed in ((COUNTS, count, {}, []), (FIGURES, amount, figure, required)):
        shared = {"measure": {"enum": [*measures]}, **window, **more}
        wanted = ["measure", *needed] if measures is FIGURES else list(needed)
        single = {"op": {"enum": [op for op in OPS if op != "between"]}, "value": value}
        pair = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
        ranged = {"op": {"const": "between"}, "values": pair}
        found.append({"properties": {**shared, **single}, "required": [*wanted, "op", "value"]})
        found.append({"properties": {**shared, **ranged}, "required": [*wanted, "op", "values"]})
        # `gte` is what is meant without an operator
        found.append(
            {"properties": {**shared, "op": {"const": "gte"}, "value": value}, "required": [*wanted, "value"]}
        )
        if measures is COUNTS:
            found.append({"properties": {**shared, "op": {"const": "gte"}}, "required": wanted})
    return found
