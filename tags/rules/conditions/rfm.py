"""Customers whose person has certain RFM scores, or the figures behind them; without paid orders there are none."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf
from sqlalchemy import ColumnElement, not_

from scrm.kernel.schemas import Schema
from scrm.value.models import RfmScore
from tags.rules import comparisons
from tags.rules.comparisons import MAX_VALUES, Kind, compare
from tags.rules.leaves import Args, Language, Leaf, Names, reads_always
from tags.rules.persons import person_has
from tags.rules.phrases import comparison_words

FIGURES: dict[str, tuple[Any, str, str]] = {
    "r": (RfmScore.r, "R分", "R score"),
    "f": (RfmScore.f, "F分", "F score"),
    "m": (RfmScore.m, "M分", "M score"),
    "recency_days": (RfmScore.recency_days, "距上次付款天数", "days since the last payment"),
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


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    if args["op"] == "is_missing":
        return not_(person_has(RfmScore))
    return person_has(RfmScore, compare(Kind.NUMBER, FIGURES[args["figure"]][0], args, now))


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
    words=_words,
    variants=_variants,
)
