"""Forking worker or in-process worker? The measurement behind docs/adr/0003.

Run it from the checkout: ``.venv/bin/python -m tests.scrm.cli.measure_workers``. It starts a throw-away Valkey, sends
empty wake-ups to one queue and lets each kind of worker of RQ empty it; prints jobs a second, interleaved, median of 5.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from redis import Redis
from rq import Queue, SimpleWorker, SpawnWorker, Worker
from rq.serializers import JSONSerializer

from scrm.cli.stores import Valkey, running

JOBS = {Worker: 200, SimpleWorker: 2000, SpawnWorker: 5}
ROUNDS = 5


def nothing() -> None:
    """A job that does no work of its own."""


def jobs_a_second(kind: type[Worker], store: Redis) -> float:
    """One round: fill the queue, let one worker empty it."""
    store.flushall()
    queue = Queue("measured", connection=store, serializer=JSONSerializer)
    for _ in range(JOBS[kind]):
        queue.enqueue("tests.scrm.cli.measure_workers.nothing", result_ttl=0)
    started = time.perf_counter()
    kind([queue], connection=store, serializer=JSONSerializer).work(burst=True, logging_level="WARNING")
    return JOBS[kind] / (time.perf_counter() - started)


def main() -> None:
    """Measure all kinds in turn, several rounds, and print medians."""
    figures: dict[type[Worker], list[float]] = {kind: [] for kind in JOBS}
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder), durable=False)
        with running(valkey), Redis.from_url(valkey.url) as store:
            for _ in range(ROUNDS):
                for kind, found in figures.items():
                    found.append(jobs_a_second(kind, store))
    for kind, found in figures.items():
        sys.stdout.write(f"{kind.__name__:14} {statistics.median(found):7.0f} jobs/s\n")


if __name__ == "__main__":
    main()
