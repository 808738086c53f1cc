"""One thing and then another within a time, or without it."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.bench.questions.events import OF_PEOPLE
from tests.bench.questions.shapes import TYPE_IDS, Days, Question, days_back

CART, CHECKOUT, PRODUCT = (TYPE_IDS[key] for key in ("cart_added", "checkout_started", "product_viewed"))


def then(chooser: Random) -> Question:
    """A dear thing put into the cart within 60 days, and then a checkout within some days."""
    days, hours, dear = days_back(chooser, 60), 24 * chooser.randrange(3, 8), 20 + chooser.randrange(20)
    tree = _tree(CART, CHECKOUT, hours, days) | {"happens": True}
    tree["first"]["where"] = [{"property": "price", "op": "gt", "value": dear}]
    where = {
        "postgres": f"AND CAST(e.properties ->> 'price' AS numeric) > {dear}",
        "others": f"AND e.price > {dear}",
    }
    return Question("then", "sequence", tree, _sql(CART, CHECKOUT, hours, days, where, happens=True))


def then_not(chooser: Random) -> Question:
    """A product looked at within 30 days and nothing put into the cart within the next hours."""
    days, hours = days_back(chooser, 30), 24 * chooser.randrange(1, 4)
    tree = _tree(PRODUCT, CART, hours, days) | {"happens": False}
    where = {"postgres": "", "others": ""}
    return Question("then not", "sequence", tree, _sql(PRODUCT, CART, hours, days, where, happens=False))


def _tree(first: int, later: int, hours: int, days: Days) -> dict[str, Any]:
    return {"kind": "sequence", "first": {"event_type_id": first}, "then": {"event_type_id": later},
            "within_hours": hours, "window": days.window}  # fmt: skip


def _sql(
    first: int, later: int, hours: int, days: Days, where: dict[str, str], *, happens: bool
) -> dict[str, str]:
    within = f"AND l.at > e.at AND l.at <= e.at + INTERVAL '{hours} hours'"
    postgres = f"""SELECT e.person_id FROM behaviour_events e WHERE e.type_id = {first} AND {days.inside("e.at")}
        {where["postgres"]} AND {"" if happens else "NOT "}EXISTS (SELECT FROM behaviour_events l WHERE l.type_id = {later}
        AND l.person_id = e.person_id AND {days.until(hours).inside("l.at")} {within})"""
    duckdb = f"""SELECT e.person_id FROM (SELECT * FROM events e WHERE type_id = {first} AND {days.bare("moment")}
          {where["others"]}) e
        ASOF LEFT JOIN (SELECT person_id, moment FROM events WHERE type_id = {later} AND {days.until(hours).bare("moment")}) l
          ON e.person_id = l.person_id AND e.moment < l.moment
        WHERE {"" if happens else "NOT "}coalesce(l.moment > e.moment AND l.moment <= e.moment + INTERVAL {hours} HOUR, false)"""
    chdb = f"""SELECT e.person_id FROM (SELECT person_id, moment FROM events e WHERE type_id = {first} AND {days.bare("moment")}
          {where["others"]}) AS e
        ASOF LEFT JOIN (SELECT person_id, moment FROM events WHERE type_id = {later} AND {days.until(hours).bare("moment")}) AS l
          ON e.person_id = l.person_id AND e.moment < l.moment
        WHERE {"" if happens else "NOT "}coalesce(l.moment > e.moment AND l.moment <= e.moment + INTERVAL {hours} HOUR, false)"""
    return {
        "postgres": OF_PEOPLE.format(postgres),
        "duckdb": OF_PEOPLE.format(duckdb),
        "chdb": OF_PEOPLE.format(chdb),
    }


QUESTIONS = (then, then_not)
