"""`ingest`: rows a second through ``POST /events:batch`` against a bare COPY of the same rows, interleaved.

Ours: web with its two processes, four senders, batches of 1,000, every row checked, its person found among a million
identities (a tenth in a quick run), stored in monthly partitions with its key and the count of its day, one durable
commit a batch. The baseline copies the same rows in batches of 1,000, each committed, into a table with the columns and
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

from tests.bench.load import drive
from tests.stack import Stack

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


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns one line: median rows a second of both, and the median of their ratios."""
    quick = bool(options.get("quick"))
    rounds, batches = (QUICK_ROUNDS, QUICK_BATCHES) if quick else (ROUNDS, BATCHES)
    people = QUICK_PEOPLE if quick else PEOPLE
    with Stack(("web",), durable=True) as stack:
        prepare(stack, people)
        token = json.loads(stack.run("apikey", "create", "bench", "--scope", "*", "--json").stdout)["token"]
        made = batches_of(people)
        send(stack, token, [next(made) for _ in range(SENDERS)])  # warm: plans, caches, partitions
        figures = [one_round(stack, token, [next(made) for _ in range(batches)]) for _ in range(rounds)]
        check(stack, (rounds * batches + SENDERS) * BATCH)
    value = statistics.median(ours for ours, _ in figures)
    return [
        {
            "name": "ingest",
            "value": round(value),
            "unit": "rows/s",
            "baseline": round(statistics.median(bare for _, bare in figures)),
            "ratio": round(statistics.median(ours / bare for ours, bare in figures), 3),
            "target": TARGET_RATE,
            "pass": value >= TARGET_RATE or quick,
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


def one_round(stack: Stack, token: str, batches: list[list[dict[str, Any]]]) -> tuple[float, float]:
    """(our rows a second, those of the bare COPY)."""
    rows = len(batches) * BATCH
    return rows / send(stack, token, batches), rows / copy(stack, batches)


def send(stack: Stack, token: str, batches: list[list[dict[str, Any]]]) -> float:
    """Seconds that the API takes for the batches."""
    requests = [_request(stack.port, token, batch) for batch in batches]
    result = drive(stack.port, requests, connections=SENDERS, seconds=SECONDS)
    if len(result.ok) != len(requests):
        raise SystemExit(f"bench ingest: {len(requests) - len(result.ok)} batches were not stored")
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
