"""Odd keys and odd values: the copy says what PostgreSQL says, or nothing."""

from datetime import UTC, datetime
from random import Random

import orjson
import pytest
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from tags.columns.service.asking import ask
from tags.rules.compiler import versioned
from tags.sets.service.normal_form import set_leaf
from tests.tags.columns.copying import copy_all, whole_set
from tests.tags.columns.facts import event_type

KEYS = ["at", "select", "person_id", "day", "k" * 64, "p_at", "A", "group"]
TEXTS = ["", "a", "A", "a'b", 'a"b', "a\\b", "é", "e\u0301", "\u0301", "中文", "a\nb", "\r", ",", "👩‍👧", "null", " a", "a ",
         "\ufeff", "\x7f", "5", "%", "_", "$1", ":x", "{}"]  # fmt: skip
NUMBERS = ["1e3", "0.10000", "-0", "-0.0", "12345678901234", "9999999999999.9999", "-9999999999999.9999", "0.0001", "0.00005",
           "5", "5.0", "19.99", "1e-7", "1e20"]  # fmt: skip
EXACT = [n for n in NUMBERS if n not in ("12345678901234", "0.00005", "1e-7", "1e20")]
ASKED = [
    0,
    0.1,
    1000,
    0.00005,
    0.0001,
    1e-7,
    1e-30,
    19.99,
    5,
    10**15,
    -0.0,
    9999999999999.9999,
    1e15,
    -(10**13),
]
TIMES = ["2026-05-03T23:59:59.999999+00:00", "2026-05-03T16:00:00+00:00", "2026-05-03T15:59:59.999999+00:00", "2026-05-03T00:00:00Z",
         "1999-12-31T16:00:00+00:00", "9999-01-01T00:00:00+00:00"]  # fmt: skip
DAYS = ["2026-05-03", "2026-05-04", "1900-01-01", "2199-12-31", "2000-01-01"]
JSON = [orjson.dumps(each).decode() for each in TEXTS]
MOMENTS = [f'"{each}"' for each in TIMES]
TEXT_OPS, NUMBER_OPS = ["equals", "not_equals"], ["equals", "not_equals", "lt", "lte", "gt", "gte"]


def filters(random, kind):
    """One comparison for values of a type."""
    if random.random() < 0.2:
        return {"op": random.choice(["is_present", "is_missing"])}
    if kind == "text":
        if random.random() < 0.5:
            return {"op": random.choice(TEXT_OPS), "value": random.choice(TEXTS[1:])}
        return {"op": random.choice(["any_of", "none_of"]), "values": random.sample(TEXTS[1:], 3)}
    if kind == "number":
        if random.random() < 0.3:
            return {"op": random.choice(["any_of", "none_of"]), "values": random.sample(ASKED, 3)}
        if random.random() < 0.3:
            return {"op": "between", "values": sorted(random.sample(ASKED, 2))}
        return {"op": random.choice(NUMBER_OPS), "value": random.choice(ASKED)}
    if random.random() < 0.3:
        return {"op": "between", "values": sorted(random.sample(DAYS, 2))}
    return {"op": random.choice(["on", "before", "after"]), "value": random.choice(DAYS)}


@pytest.mark.parametrize(
    ("kind", "values", "exact"),
    [("text", [*JSON, "7"], JSON), ("number", NUMBERS, EXACT), ("time", [*MOMENTS, "7"], MOMENTS)],
)
@pytest.mark.parametrize("odd", [False, True], ids=["that fit", "that do not fit too"])
def test_the_copy_says_what_postgresql_says(session, columns, world, kind, values, exact, odd):
    random = Random(f"{kind}{odd}")
    type_id = event_type(**dict.fromkeys(KEYS, kind))
    persons = [*range(1, 41)]
    session.execute(
        text("INSERT INTO people (id) OVERRIDING SYSTEM VALUE SELECT unnest(CAST(:p AS bigint[]))"),
        {"p": persons},
    )
    for person in persons:
        customer = world.customer()
        session.execute(text("DELETE FROM customer_people WHERE customer_id = :c"), {"c": customer.id})
        session.execute(text("INSERT INTO customer_people VALUES (:c, :p)"), {"c": customer.id, "p": person})
    for n in range(200):
        told = {
            key: random.choice(values if odd and key == "at" else exact) for key in random.sample(KEYS, 6)
        }
        if random.random() < 0.2:
            told[random.choice(KEYS)] = "null"
        row = {"p": random.choice(persons[:35]), "n": f"o{n}", "t": type_id, "at": datetime(2026, random.choice((4, 5)), 3, tzinfo=UTC),
               "j": "{" + ",".join(f'"{k}":{v}' for k, v in told.items()) + "}"}  # fmt: skip
        session.execute(text("INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)"
                             " VALUES (:at, :p, :t, CAST(:j AS jsonb), 's', :n)"), row)  # fmt: skip
    copy_all()
    answered = 0
    for _ in range(60):
        leaf = {
            "kind": "event",
            "event_type_id": type_id,
            "where": [{"property": random.choice(KEYS), **filters(random, kind)}],
        }
        if kind == "number" and random.random() < 0.4:
            leaf |= {"measure": random.choice(["sum", "min", "max"]), "property": random.choice(KEYS),
                     "op": random.choice(["equals", "lt", "gte"]), "value": random.choice(ASKED)}  # fmt: skip
        elif random.random() < 0.5:
            leaf |= {"op": random.choice(["gt", "lte", "equals", "lt"]), "value": random.choice([0, 1, 2])}
        now, key = utcnow(), set_leaf(leaf).key
        answered += ask(versioned(leaf), now) is not None
        copied = whole_set(key, now)
        columns(enabled=False)
        assert copied == whole_set(key, now), leaf
        columns(enabled=True)
    assert answered > 30
