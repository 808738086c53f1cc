"""Reading the value of persons, and its part of the portrait."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Date, Select, Text, bindparam, cast, func, select

from scrm.customers.models import Customer
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import corp_today
from scrm.people.models import CustomerPerson
from scrm.people.queries.people import visible_people, whole_person
from scrm.portraits.queries import portrait_section
from scrm.value.models import Lifecycle, LifecycleChange, RfmScore
from scrm.value.queries.settings import stages

SHOWN_CHANGES = 100


def score_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Scores of visible persons, limited by ``r_min``, ``r_max`` and so on."""
    statement = select(RfmScore).where(visible_people(scope, RfmScore.person_id))
    for name in ("r", "f", "m"):
        column = getattr(RfmScore, name)
        if (least := filters.get(f"{name}_min")) is not None:
            statement = statement.where(column >= least)
        if (most := filters.get(f"{name}_max")) is not None:
            statement = statement.where(column <= most)
    return statement


def score_cells(scope: Scope) -> list[dict[str, Any]]:
    """How many visible persons have which three scores."""
    three = (RfmScore.r, RfmScore.f, RfmScore.m)
    statement = select(*three, func.count().label("people")).where(visible_people(scope, RfmScore.person_id))
    return [dict(row) for row in session().execute(statement.group_by(*three).order_by(*three)).mappings()]


def stage_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Visible persons with their stage, limited by ``stage``."""
    statement = select(Lifecycle).where(visible_people(scope, Lifecycle.person_id))
    return statement.where(Lifecycle.stage == filters["stage"]) if "stage" in filters else statement


def counted_stages(scope: Scope) -> list[dict[str, Any]]:
    """The stages in their order, with how many visible persons are in each."""
    counted = select(Lifecycle.stage, func.count()).where(visible_people(scope, Lifecycle.person_id))
    people = {row[0]: row[1] for row in session().execute(counted.group_by(Lifecycle.stage))}
    return [{**stage, "people": people.get(stage["key"], 0)} for stage in stages()]


def value_of(scope: Scope, person_id: int) -> dict[str, Any]:
    """Scores, stage and the newest changes of one person; raises NotFound, also outside the scope."""
    found = whole_person(scope, person_id)
    changes = select(LifecycleChange).where(LifecycleChange.person_id == found)
    newest = changes.order_by(LifecycleChange.id.desc()).limit(SHOWN_CHANGES)
    return {
        "rfm": session().get(RfmScore, found, populate_existing=True),
        "lifecycle": session().get(Lifecycle, found, populate_existing=True),
        "history": list(session().scalars(newest)),
    }


@portrait_section("value")
def value_section() -> ColumnElement[Any]:
    """Scores and stage of the person behind a customer; null before the customer is linked to a person."""
    link = CustomerPerson
    score = select(
        func.json_build_object(
            "recency_days", days_since(bindparam("today", callable_=corp_today, type_=Date)),
            "frequency", RfmScore.frequency, "monetary", cast(RfmScore.monetary, Text),
            "r", RfmScore.r, "f", RfmScore.f, "m", RfmScore.m, "computed_at", RfmScore.computed_at,
        )
    ).where(RfmScore.person_id == link.person_id)  # fmt: skip
    stage = select(func.json_build_object("stage", Lifecycle.stage, "since", Lifecycle.since))
    stage = stage.where(Lifecycle.person_id == link.person_id)
    both = func.json_build_object(
        "rfm", score.correlate(link).scalar_subquery(), "lifecycle", stage.correlate(link).scalar_subquery()
    )
    return select(both).where(link.customer_id == Customer.id).correlate(Customer).scalar_subquery()


def days_since(on: Any) -> ColumnElement[int]:
    """Days of the corp's zone from the last paid order until ``on`` (a date), as SQL; at least 0."""
    return func.greatest(0, on - RfmScore.last_on, type_=BigInteger)
