"""Customers whose person has a computed trait that fulfils a comparison."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length
from sqlalchemy import ColumnElement, Select, Text, cast, func, not_, select

from scrm.kernel.schemas import Schema
from scrm.portraits.models import TraitValue
from tags.rules import comparisons
from tags.rules.comparisons import MAX_VALUES, PRESENCE, TIMED, Kind, changing, compare
from tags.rules.fields import asked_kind
from tags.rules.leaves import MAX_ID, Args, FlagField, Language, Leaf, Names, called, id_field
from tags.rules.persons import PersonHas, customers_of, is_of_person_with, of_person, person_has
from tags.rules.phrases import comparison_words

COLUMNS = {
    Kind.NUMBER: TraitValue.value_num,
    Kind.TEXT: TraitValue.value_text,
    Kind.DATE: TraitValue.value_time,
    Kind.LIST: TraitValue.value_list,
}


class TraitArgs(Schema):
    """Arguments: the trait, the operator, and what it takes; ``any_of`` of texts asks a list when ``list`` is true."""

    trait_id = id_field(required=True)
    op = fields.String(required=True)
    value = fields.Raw()
    values = fields.List(fields.Raw(), validate=Length(1, MAX_VALUES))
    days = fields.Integer(strict=True)
    list = FlagField(load_default=False, allow_none=False)

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        kind = Kind.LIST if data["list"] else asked_kind(data)
        if data["op"] == "anniversary":
            raise ValidationError("does not go with traits", "op")
        if not 1 <= data.get("days", 1) <= comparisons.MAX_DAYS:
            raise ValidationError(f"must be 1 to {comparisons.MAX_DAYS}", "days")
        for path, problem in comparisons.problems(kind, data).items():
            name, _, place = path.partition(".")
            raise ValidationError({name: {int(place): [problem]} if place else [problem]})


def _clause(args: Args, now: datetime, has: PersonHas = person_has) -> ColumnElement[bool]:
    named = TraitValue.trait_id == args["trait_id"]
    if args["op"] in PRESENCE:
        there = has(TraitValue, named)
        return there if args["op"] == "is_present" else not_(there)
    kind = Kind.LIST if args["list"] else asked_kind(args)
    return has(TraitValue, named, compare(kind, COLUMNS[kind], args, now))


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _clause(args, now, is_of_person_with)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    told = func.coalesce(*(cast(column, Text) for column in COLUMNS.values()))
    return of_person(told, TraitValue.person_id, TraitValue.trait_id == args["trait_id"])


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    if args["op"] not in TIMED:
        return None
    crossed = changing(TraitValue.value_time, args, since, until)
    return customers_of(select(TraitValue.person_id).where(TraitValue.trait_id == args["trait_id"], crossed))


def _words(args: Args, language: Language, names: Names) -> str:
    name = called("traits", args["trait_id"], names, language)
    return f"{name}{'' if language == 'zh' else ' '}{comparison_words(args, language)}"


def _variants() -> list[dict[str, Any]]:
    trait = {"trait_id": {"type": "integer", "minimum": 1, "maximum": MAX_ID}}
    found = []
    for kind in COLUMNS:
        flag = {"list": {"const": kind is Kind.LIST}}
        needed = ["list"] if kind is Kind.LIST else []
        for each in comparisons.variants([kind]):
            if each["properties"]["op"]["const"] == "anniversary":
                continue
            properties = {**trait, **flag, **each["properties"]}
            found.append({"properties": properties, "required": ["trait_id", *needed, *each["required"]]})
    return found


LEAF = Leaf(
    kind="trait",
    schema=TraitArgs,
    reads=lambda args: {f"trait:{args['trait_id']}"},
    clause=_clause,
    over_all=_over_all,
    words=_words,
    refers={"trait_id": "traits"},
    expires=_expires,
    variants=_variants,
    value=_value,
)
