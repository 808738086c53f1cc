"""`ingest`: rows a second through ``POST /events:batch`` against a bare COPY of the same rows, interleaved.

Ours: web with its two processes, four senders, batches of 1,000, every row checked, its person found among a million
identities (ten thousand in a quick run), stored in monthly partitions with its key and the count of its day, one durable
commit a batch; and four traits, one over each type of event, kept up to date by the worker meanwhile. The clock stops
when the last trait is current; ``answered`` is the rate until the last batch was answered. The persons are no customers
of WeCom, so nothing is written on timelines. At the end traits are compared with what the events say. The baseline copies the same rows in batches of 1,000, each committed, into a table with the columns and
indexes of ``behaviour_events`` that is not partitioned, and decides nothing.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import requests

from tests.bench.load import drive
from tests.stack import Stack, wait_until

TARGET_RATE = 20_000
ROUNDS, QUICK_ROUNDS = 5, 1
BATCHES, QUICK_BATCHES = 100, 4  # per round
BATCH = 1000
PEOPLE, QUICK_PEOPLE = 1_000_000, 10_000
SENDERS = 4
SECONDS = 60.0
DAYS = 90
SEED = 20261122
TYPES = ("page_viewed", "product_viewed", "cart_added", "coupon_used")
PROPERTIES = {"page": "text", "seconds": "number", "sku": "text"}
WINDOW = 30
TRAITS: dict[str, tuple[dict[str, Any], str]] = {
    "views": ({"event_type": "page_viewed", "measure": "count", "window_days": WINDOW}, "count(*)"),
    "watched": (
        {"event_type": "product_viewed", "measure": "sum", "field": "seconds"},
        "sum(CAST(b.properties->>'seconds' AS numeric))",
    ),
    "in_cart": (
        {"event_type": "cart_added", "measure": "last", "field": "sku"},
        "(array_agg(b.properties->>'sku' ORDER BY b.at DESC, b.id DESC))[1]",
    ),
    "pages": (
        {"event_type": "coupon_used", "measure": "unique_count", "field": "page"},
        "count(DISTINCT b.properties->>'page')",
    ),
}
"""By key: the definition, and the same in plain SQL."""
SINCE = """AND at >= CAST(CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date) - {days} AS timestamp)
  AT TIME ZONE 'Asia/Shanghai'"""


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns one line: median rows a second of both, and the median of their ratios."""
    quick = bool(options.get("quick"))
    rounds, batches = (QUICK_ROUNDS, QUICK_BATCHES) if quick else (ROUNDS, BATCHES)
    people = QUICK_PEOPLE if quick else PEOPLE
    with Stack(("web", "worker:background"), durable=True) as stack:
        prepare(stack, people)
        token = json.loads(stack.run("apikey", "create", "bench", "--scope", "*", "--json").stdout)["token"]
        define_traits(stack, token)
        made = batches_of(people)
        send(stack, token, [next(made) for _ in range(SENDERS)])  # warm: plans, caches, partitions
        wait_for_traits(stack)
        figures = [one_round(stack, token, [next(made) for _ in range(batches)]) for _ in range(rounds)]
        check(stack, (rounds * batches + SENDERS) * BATCH)
        check_traits(stack)
    value = statistics.median(ours for ours, _, _ in figures)
    return [
        {
            "name": "ingest",
            "value": round(value),
            "unit": "rows/s",
            "baseline": round(statistics.median(bare for _, bare, _ in figures)),
            "ratio": round(statistics.median(ours / bare for ours, bare, _ in figures), 3),
            "target": TARGET_RATE,
            "pass": value >= TARGET_RATE or quick,
            "answered": round(statistics.median(answered for _, _, answered in figures)),
        }
    ]


def prepare(stack: Stack, people: int) -> None:
    """People with a member number each, the types, and the bare table."""
    stack.sql("INSERT INTO people (created_at) SELECT now() FROM generate_series(1, %s)", people)
    stack.sql(
        "INSERT INTO identities (person_id, kind, value, source) SELECT id, 'member_no', 'M' || id, 'mall' FROM people"
    )
    words = [{"key": key, "type": kind, "name_zh": key, "name_en": key} for key, kind in PROPERTIES.items()]
    for key in TYPES:
        stack.sql(
            "INSERT INTO event_types (key, name_zh, name_en, properties) VALUES (%s, %s, %s, %s)",
            key, key, key, json.dumps(words),
        )  # fmt: skip
    stack.sql("CREATE TABLE bare (LIKE behaviour_events INCLUDING ALL)")
    stack.sql("VACUUM ANALYZE")


def batches_of(people: int) -> Iterator[list[dict[str, Any]]]:
    """Endless batches of events of different people over the last DAYS days; the same for the same seed."""
    chooser = random.Random(SEED)
    now, number = datetime.now(UTC), 0
    while True:
        batch = []
        for _ in range(BATCH):
            number += 1
            at = now - timedelta(seconds=chooser.random() * DAYS * 86_400)
            batch.append(
                {
                    "source_id": f"e{number:010d}",
                    "type": chooser.choice(TYPES),
                    "at": at.isoformat(),
                    "identities": {"member_no": f"M{chooser.randint(1, people)}"},
                    "properties": {
                        "page": f"/products/{chooser.randint(1, 5000)}",
                        "seconds": chooser.randint(1, 600) / 10,
                        "sku": f"S{chooser.randint(1, 5000)}",
                    },
                }
            )
        yield batch


def one_round(stack: Stack, token: str, batches: list[list[dict[str, Any]]]) -> tuple[float, float, float]:
    """Rows a second: ours until traits are current, the bare COPY, ours until the answers."""
    rows = len(batches) * BATCH
    answered = send(stack, token, batches)
    current = answered + wait_for_traits(stack)
    return rows / current, rows / copy(stack, batches), rows / answered


def define_traits(stack: Stack, token: str) -> None:
    """Make the traits and wait until the worker applied them."""
    for key, (definition, _) in TRAITS.items():
        body = {"key": key, "name_zh": key, "name_en": key, "definition": {"source": "events", **definition}}
        headers = {"Authorization": f"Bearer {token}"}
        requests.post(f"{stack.url}/api/v1/traits", json=body, headers=headers, timeout=10).raise_for_status()
    unapplied = "SELECT count(*) FROM traits WHERE applied_at IS NULL OR applied_at < changed_at"
    wait_until(lambda: stack.sql(unapplied) == [(0,)], SECONDS)


def wait_for_traits(stack: Stack) -> float:
    """Seconds until nobody is left whose traits are to be worked out."""
    started = time.perf_counter()
    with psycopg.connect(stack.postgres.dsn("scrm"), autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM trait_wanted LIMIT 1").fetchone():
            if time.perf_counter() - started > SECONDS:
                raise SystemExit("bench ingest: traits are not current after a minute")
            time.sleep(0.02)
    return time.perf_counter() - started


def send(stack: Stack, token: str, batches: list[list[dict[str, Any]]]) -> float:
    """Seconds that the API takes for the batches."""
    bodies = [_request(stack.port, token, batch) for batch in batches]
    result = drive(stack.port, bodies, connections=SENDERS, seconds=SECONDS)
    if len(result.ok) != len(bodies):
        raise SystemExit(f"bench ingest: {len(bodies) - len(result.ok)} batches were not stored")
    return result.seconds


def _request(port: int, token: str, batch: list[dict[str, Any]]) -> bytes:
    body = orjson.dumps({"source": "mall", "events": batch})
    head = (
        f"POST /api/v1/events:batch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def copy(stack: Stack, batches: list[list[dict[str, Any]]]) -> float:
    """Seconds that COPY takes for the same rows, whose ids are known already."""
    seconds = 0.0
    with psycopg.connect(stack.postgres.dsn("scrm")) as connection:
        for batch in batches:
            text = "".join(_line(row) for row in batch).encode()
            started = time.perf_counter()
            with connection.cursor() as cursor, cursor.copy(COPY) as out:
                out.write(text)
            connection.commit()
            seconds += time.perf_counter() - started
    return seconds


COPY = "COPY bare (at, person_id, type_id, properties, source, source_id) FROM STDIN"


def _line(row: dict[str, Any]) -> str:
    person, kind = row["identities"]["member_no"][1:], TYPES.index(row["type"]) + 1
    properties = orjson.dumps(row["properties"]).decode()
    return f"{row['at']}\t{person}\t{kind}\t{properties}\tmall\t{row['source_id']}\n"


def check(stack: Stack, rows: int) -> None:
    """Everything is stored once and counted once, or the measurement is worth nothing."""
    found = stack.sql(
        "SELECT (SELECT count(*) FROM behaviour_events), (SELECT count(*) FROM event_keys), (SELECT sum(count) FROM event_days)"
    )
    if found != [(rows, rows, rows)]:
        raise SystemExit(f"bench ingest: {found} stored instead of {rows}")


def check_traits(stack: Stack) -> None:
    """Every trait of everybody is what the stored events say."""
    for key, (definition, sql) in TRAITS.items():
        window = definition.get("window_days")
        since = "" if window is None else SINCE.format(days=window)
        differing = stack.sql(
            f"""SELECT count(*) FROM (
              SELECT person_id, CAST({sql} AS text) AS value FROM behaviour_events b JOIN event_types t ON t.id = type_id
              WHERE t.key = %s {since} GROUP BY person_id) e
            FULL JOIN (
              SELECT person_id, COALESCE(CAST(value_num AS text), value_text) AS value FROM trait_values
              JOIN traits t ON t.id = trait_id WHERE t.key = %s) v USING (person_id)
            WHERE e.value IS DISTINCT FROM v.value""",  # constants
            definition["event_type"], key,
        )  # fmt: skip
        if differing != [(0,)]:
            raise SystemExit(
                f"bench ingest: the trait {key} of {differing[0][0]} persons is not what their events say"
            )
