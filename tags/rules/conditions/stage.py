"""Customers whose person is in one of certain stages of the lifecycle, for so long or since so lately."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from scrm.kernel.schemas import Schema
from scrm.value.models import Lifecycle
from scrm.value.queries.settings import stages
from tags.rules.leaves import Args, Language, Leaf, Names, any_quoted, reads_always, texts_field
from tags.rules.persons import PersonHas, customers_of, is_of_person_with, of_person, person_has
from tags.rules.windows import WindowField, leaving, window_words, within


class StageArgs(Schema):
    """Arguments: any of these stages, entered in that time."""

    stages = texts_field(required=True)
    entered = WindowField(load_default=None)


def _clause(args: Args, now: datetime, has: PersonHas = person_has) -> ColumnElement[bool]:
    clauses: list[Any] = [Lifecycle.stage.in_(args["stages"])]
    if args["entered"]:
        clauses.append(within(Lifecycle.since, args["entered"], now))
    return has(Lifecycle, *clauses)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _clause(args, now, is_of_person_with)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    return of_person(Lifecycle.stage, Lifecycle.person_id)


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(Lifecycle.since, args["entered"], since, until)
    if crossed is None:
        return None
    return customers_of(select(Lifecycle.person_id).where(Lifecycle.stage.in_(args["stages"]), crossed))


def _check(args: Args) -> dict[str, str]:
    """Every stage must be one that the company has: of any other it would silently hold for nobody."""
    known = {stage["key"] for stage in stages()}
    problem = f"must be one of {', '.join(sorted(known))}"
    return {f"stages.{i}": problem for i, key in enumerate(args["stages"]) if key not in known}


def _words(args: Args, language: Language, names: Names) -> str:
    when = window_words(args["entered"], language)
    called = any_quoted([names.get((f"stages/{language}", key), key) for key in args["stages"]], language)
    if language == "zh":
        return f"处于阶段{called}" + (f"（{when}进入）" if when else "")
    return f"is in the stage {called}" + (f" entered {when}" if when else "")


LEAF = Leaf(
    kind="stage",
    schema=StageArgs,
    reads=reads_always("stage"),
    clause=_clause,
    over_all=_over_all,
    words=_words,
    expires=_expires,
    check=_check,
    value=_value,
)
