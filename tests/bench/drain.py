"""`drain`: a mixed stream of callbacks through the whole deployment, until nothing is left to do.

The sandbox prepares the stream, then sends it as fast as answers come. The clock runs from the first callback until
the inbox is empty, the changed customers and groups are fetched from WeCom and no effect is open. The baseline, in the
same run on the same PostgreSQL, is the bare minimum a durable system must do: one INSERT and one commit per callback,
by one client.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import psutil
import psycopg

from tests.stack import Stack, wait_until

TARGET_PER_SECOND = 1000.0
EVENTS = 20_000
ROUNDS = 5
BASE_INSERTS = 2_000
POPULATION = {"members": 50, "departments": 5, "customers_per_member": 40, "groups": 40, "group_size": 20}
LEFT = """
SELECT (SELECT count(*) FROM callback_inbox WHERE state IN ('received', 'processing', 'failed'))
     + (SELECT count(*) FROM customers WHERE refresh_wanted_at IS NOT NULL AND refresh_failed IS NULL)
     + (SELECT count(*) FROM effects WHERE state IN ('planned', 'sent', 'unknown'))
     + (SELECT count(*) FROM rule_due)
"""


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns one line with events a second, CPU seconds per 1,000 events and what was lost (nothing)."""
    quick = bool(options.get("quick"))
    rounds, events = (1, 2_000) if quick else (ROUNDS, EVENTS // ROUNDS)
    with Stack(durable=True, limits={"rate_limits_on": False}) as stack:
        stack.control.population(**POPULATION)
        measured = [_round(stack, events) for _ in range(rounds)]
        states = dict(stack.sql("SELECT state, count(*) FROM callback_inbox GROUP BY state"))
    rate = statistics.median(one["rate"] for one in measured)
    base = statistics.median(one["base"] for one in measured)
    return [
        {
            "name": "drain",
            "value": round(rate),
            "unit": "events/s",
            "baseline": round(base),
            "ratio": round(rate / base, 3),
            "target": TARGET_PER_SECOND,
            "pass": rate >= TARGET_PER_SECOND and not states.get("dead") and not states.get("failed"),
            "cpu_seconds_per_1000": round(statistics.median(one["cpu"] for one in measured), 2),
            "states": states,
        }
    ]


def _round(stack: Stack, events: int) -> dict[str, float]:
    before, started = _cpu(stack), time.perf_counter()
    traffic = stack.control.start_traffic(count=events, prepare=True, connections=8)
    wait_until(lambda: stack.control.traffic(traffic["id"])["state"] not in {"preparing", "waiting"}, 120)
    started, before = time.perf_counter(), _cpu(stack)
    stack.control.wait_traffic(traffic["id"], 300)
    wait_until(lambda: stack.sql(LEFT)[0][0] == 0, 300, lambda: str(stack.sql(LEFT)))
    seconds = time.perf_counter() - started
    cpu = sum(_cpu(stack).values()) - sum(before.values())
    return {"rate": events / seconds, "cpu": cpu / events * 1000, "base": _bare_inserts(stack)}


def _cpu(stack: Stack) -> dict[int, float]:
    """CPU seconds so far of every process of the deployment, children and stores too, the sandbox excepted."""
    roots = [stack.pid(name) for name in stack.names()]
    seconds = {}
    for pid in roots:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            times = process.cpu_times()
            seconds[process.pid] = times.user + times.system
    return seconds


def _bare_inserts(stack: Stack) -> float:
    """Rows a second of one client that inserts and commits one at a time."""
    with psycopg.connect(stack.postgres.dsn("scrm"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_bare (digest bytea PRIMARY KEY, body text)")
        started = time.perf_counter()
        for number in range(BASE_INSERTS):
            key = f"{started}:{number}".encode()
            connection.execute("INSERT INTO bench_bare VALUES (sha256(%s), %s)", (key, "x" * 500))
        rate = BASE_INSERTS / (time.perf_counter() - started)
        connection.execute("DROP TABLE bench_bare")
    return rate
