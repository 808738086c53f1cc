"""Customers whose person has certain RFM scores, or the figures behind them; without paid orders there are none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf
from sqlalchemy import ColumnElement, Date, Select, literal, not_, select

from scrm.kernel.schemas import Schema
from scrm.value.models import RfmScore
from scrm.value.queries.value import days_since
from tags.rules import comparisons
from tags.rules.comparisons import MAX_VALUES, PRESENCE, Kind, compare
from tags.rules.leaves import Args, Language, Leaf, Names, reads_always
from tags.rules.persons import PersonHas, customers_of, is_of_person_with, of_person, person_has
from tags.rules.phrases import comparison_words
from tags.rules.windows import today

RECENCY = "recency_days"
SCORES, WORST, BEST = ("r", "f", "m"), 1, 5
FIGURES: dict[str, tuple[Any, str, str]] = {
    "r": (RfmScore.r, "R分", "R score"),
    "f": (RfmScore.f, "F分", "F score"),
    "m": (RfmScore.m, "M分", "M score"),
    RECENCY: (None, "距上次付款天数", "days since the last payment"),
    "frequency": (RfmScore.frequency, "付款订单数", "number of paid orders"),
    "monetary": (RfmScore.monetary, "付款金额", "money paid"),
}


class RfmArgs(Schema):
    """Arguments: a score (1 worst to 5 best) or the figure behind it, and a comparison of numbers."""

    figure = fields.String(required=True, validate=OneOf(list(FIGURES)))
    op = fields.String(required=True)
    value = fields.Raw()
    values = fields.List(fields.Raw(), validate=Length(1, MAX_VALUES))

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        for path, problem in comparisons.problems(Kind.NUMBER, data).items():
            name, _, place = path.partition(".")
            raise ValidationError({name: {int(place): [problem]} if place else [problem]})


def _check(args: Args) -> dict[str, str]:
    """A score beyond the best would silently hold for nobody."""
    if args["figure"] not in SCORES:
        return {}
    given = (
        {"value": args["value"]}
        if "value" in args
        else {f"values.{i}": v for i, v in enumerate(args.get("values", ()))}
    )
    return {
        path: f"must be a score of {WORST} (worst) to {BEST} (best)"
        for path, v in given.items()
        if not WORST <= v <= BEST
    }


def _clause(args: Args, now: datetime, has: PersonHas = person_has) -> ColumnElement[bool]:
    if args["op"] == "is_missing":
        return not_(has(RfmScore))
    return has(RfmScore, compare(Kind.NUMBER, _figure(args, now), args, now))


def _figure(args: Args, now: datetime) -> Any:
    if args["figure"] == RECENCY:
        return days_since(literal(today(now), Date))
    return FIGURES[args["figure"]][0]


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    return of_person(_figure(args, now), RfmScore.person_id)


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    if args["figure"] != RECENCY or args["op"] in PRESENCE:
        return None
    before, after = (compare(Kind.NUMBER, _figure(args, at), args, at) for at in (since, until))
    return customers_of(select(RfmScore.person_id).where(before != after))


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _clause(args, now, is_of_person_with)


def _words(args: Args, language: Language, names: Names) -> str:
    _, zh, en = FIGURES[args["figure"]]
    return (
        f"{zh}{comparison_words(args, language)}"
        if language == "zh"
        else f"{en} {comparison_words(args, language)}"
    )


def _variants() -> list[dict[str, Any]]:
    figure = {"figure": {"enum": list(FIGURES)}}
    return [
        {"properties": {**figure, **each["properties"]}, "required": ["figure", *each["required"]]}
        for each in comparisons.variants([Kind.NUMBER])
    ]


LEAF = Leaf(
    kind="rfm",
    schema=RfmArgs,
    reads=reads_always("rfm"),
    clause=_clause,
    over_all=_over_all,
    words=_words,
    expires=_expires,
    check=_check,
    variants=_variants,
    value=_value,
)
