"""What people did and bought within windows: did, count, distinct days, sum, with filters."""

from __future__ import annotations

from random import Random

from scrm.cli.company_data.behaviour import CATEGORIES
from tests.bench.questions.shapes import HELD, TYPE_IDS, Question, days_back, has, tags_of

OF_PEOPLE = "SELECT count(*) FROM customer_people WHERE person_id IN ({})"
LOCAL_DAY = {
    "postgres": "CAST(timezone('Asia/Shanghai', at) AS date)",
    "duckdb": "CAST(moment + INTERVAL 8 HOUR AS DATE)",
    "chdb": "toDate(moment + INTERVAL 8 HOUR)",
}


def did(chooser: Random) -> Question:
    """Looked at a product of a category within 30 days."""
    days, category, type_id = (
        days_back(chooser, 30),
        chooser.choice(CATEGORIES),
        TYPE_IDS["product_viewed"],
    )
    tree = {"kind": "event", "event_type_id": type_id, "window": days.window,
            "where": [{"property": "category", "op": "equals", "value": category}]}  # fmt: skip
    asked = f"SELECT DISTINCT person_id FROM {{}} WHERE type_id = {type_id} AND {{}} AND {{}} = '{category}'"
    others = OF_PEOPLE.format(asked.format("events", days.bare("moment"), "category"))
    postgres = asked.format("behaviour_events", days.inside("at"), "properties ->> 'category'")
    return Question("did, filtered", "events", tree, {
        "postgres": OF_PEOPLE.format(postgres), "duckdb": others, "chdb": others,
    })  # fmt: skip


def often_and_never(chooser: Random) -> Question:
    """Came often within 30 days, used no coupon within 90, and has a tag."""
    month, quarter = days_back(chooser, 30), days_back(chooser, 90)
    pages, coupons, [tag], least = (
        TYPE_IDS["page_viewed"],
        TYPE_IDS["coupon_used"],
        tags_of(chooser, 1, upto=3),
        3,
    )
    tree = {"all": [{"kind": "event", "event_type_id": pages, "op": "gte", "value": least, "window": month.window},
                    {"not": {"kind": "event", "event_type_id": coupons, "window": quarter.window}}, has(tag)]}  # fmt: skip
    often = f"SELECT person_id FROM {{}} WHERE type_id = {pages} AND {{}} GROUP BY person_id HAVING count(*) >= {least}"
    never = f"person_id NOT IN (SELECT person_id FROM {{}} WHERE type_id = {coupons} AND {{}})"
    tagged = f"customer_id IN (SELECT customer_id FROM {{}} WHERE tag_id = {tag} {{}})"
    others = " AND ".join((
        OF_PEOPLE.format(often.format("events", month.bare("moment"))),
        never.format("events", quarter.bare("moment")), tagged.format("customer_tags", ""),
    ))  # fmt: skip
    postgres = " AND ".join((
        OF_PEOPLE.format(often.format("behaviour_events", month.inside("at"))),
        never.format("behaviour_events", quarter.inside("at")), tagged.format("tag_assignments", f"AND {HELD}"),
    ))  # fmt: skip
    return Question(
        "often and never", "events", tree, {"postgres": postgres, "duckdb": others, "chdb": others}
    )


def on_days(chooser: Random) -> Question:
    """Opened the program on several days of 60."""
    days, type_id, least = days_back(chooser, 60), TYPE_IDS["app_opened"], 3
    tree = {
        "kind": "event",
        "event_type_id": type_id,
        "measure": "days",
        "op": "gte",
        "value": least,
        "window": days.window,
    }
    asked = f"""SELECT person_id FROM {{}} WHERE type_id = {type_id} AND {{}} GROUP BY person_id
        HAVING count(DISTINCT {{}}) >= {least}"""
    sql = {
        name: OF_PEOPLE.format(asked.format("events", days.bare("moment"), day))
        for name, day in LOCAL_DAY.items()
    }
    sql["postgres"] = OF_PEOPLE.format(f"""SELECT person_id FROM event_days WHERE type_id = {type_id}
        AND day BETWEEN '{days.begin}' AND '{days.end}' GROUP BY person_id HAVING count(*) >= {least}""")
    return Question("on several days", "events", tree, sql)


def for_much(chooser: Random) -> Question:
    """Put dear things worth much into the cart within 90 days, and paid for much within 180."""
    quarter, half, type_id = days_back(chooser, 90), days_back(chooser, 180), TYPE_IDS["cart_added"]
    dear, least, paid = 20 + chooser.randrange(20), 300, 500
    tree = {"all": [
        {"kind": "event", "event_type_id": type_id, "measure": "sum", "property": "price", "op": "gte", "value": least,
         "window": quarter.window, "where": [{"property": "price", "op": "gt", "value": dear}]},
        {"kind": "order", "time": "paid", "measure": "sum", "currency": "CNY", "op": "gte", "value": paid,
         "window": half.window},
    ]}  # fmt: skip
    carts = f"""SELECT person_id FROM {{}} WHERE type_id = {type_id} AND {{}} AND {{price}} > {dear}
        GROUP BY person_id HAVING sum({{price}}) >= {least}"""
    orders = f"""person_id IN (SELECT person_id FROM orders WHERE {{}} AND currency = 'CNY'
        GROUP BY person_id HAVING sum(amount) >= {paid})"""
    others = f"""{OF_PEOPLE.format(carts.format("events", quarter.bare("moment"), price="price"))}
        AND {orders.format(half.bare("paid_at"))}"""
    price = "CAST(properties ->> 'price' AS numeric)"
    postgres = f"""{OF_PEOPLE.format(carts.format("behaviour_events", quarter.inside("at"), price=price))}
        AND {orders.format(half.inside("paid_at"))}"""
    return Question("for much", "events", tree, {"postgres": postgres, "duckdb": others, "chdb": others})


QUESTIONS = (did, often_and_never, on_days, for_much)
