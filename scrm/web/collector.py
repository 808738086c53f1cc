"""Metrics that the database knows: read when Prometheus asks, so that they are right after every restart."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from scrm.web.queries import copied_parts, errcode_counts, queue_depths, state_counts, welcome_figures
from tags.columns.service.troubles import counted_troubles


class DatabaseCollector(Collector):
    """Inbox by state and age, effects by state and errcode, queues, welcomes of the last hour, the copy in columns."""

    def collect(self) -> Iterator[Metric]:
        """Ask the database and the queues once per scrape."""
        yield from _inbox()
        effects = GaugeMetricFamily("scrm_effects", "Effects", labels=["kind", "state", "errcode"])
        for row in errcode_counts():
            effects.add_metric([row["kind"], row["state"], str(row["errcode"])], row["n"])
        yield effects
        yield from _alerts()
        yield from _queues()
        yield from _welcomes()
        yield from _columns()


def _inbox() -> Iterator[Metric]:
    rows = GaugeMetricFamily("scrm_inbox_rows", "Callbacks in the inbox", labels=["state"])
    age = GaugeMetricFamily(
        "scrm_inbox_oldest_seconds", "Age of the oldest callback in a state", labels=["state"]
    )
    for row in state_counts("inbox"):
        rows.add_metric([row["state"]], row["n"])
        age.add_metric([row["state"]], row["age"])
    yield rows
    yield age


def _alerts() -> Iterator[Metric]:
    rows = GaugeMetricFamily("scrm_alerts", "Alerts to members of the last two days", labels=["state"])
    age = GaugeMetricFamily(
        "scrm_alerts_oldest_seconds", "Age of the oldest of them in a state", labels=["state"]
    )
    for row in state_counts("alerts"):
        rows.add_metric([row["state"]], row["n"])
        age.add_metric([row["state"]], row["age"])
    yield from (rows, age)


def _queues() -> Iterator[Metric]:
    depth = GaugeMetricFamily("scrm_queue_waiting", "Wake-ups waiting", labels=["queue"])
    age = GaugeMetricFamily(
        "scrm_queue_oldest_seconds", "Age of the oldest waiting wake-up", labels=["queue"]
    )
    failed = GaugeMetricFamily("scrm_queue_failed", "Failed jobs kept for a day", labels=["queue"])
    workers = GaugeMetricFamily("scrm_queue_workers", "Living workers", labels=["queue"])
    for row in queue_depths():
        depth.add_metric([row["queue"]], row["waiting"])
        age.add_metric([row["queue"]], row["age"])
        failed.add_metric([row["queue"]], row["failed"])
        workers.add_metric([row["queue"]], row["workers"])
    yield from (depth, age, failed, workers)


def _welcomes() -> Iterator[Metric]:
    row = welcome_figures()
    outcome = GaugeMetricFamily(
        "scrm_welcomes_hour", "Welcomes of the last hour by outcome", labels=["outcome"]
    )
    for name in ("sent", "missed", "planned"):
        outcome.add_metric([name], row[name])
    latency = GaugeMetricFamily(
        "scrm_welcome_seconds", "Event to WeCom's acceptance, last hour", labels=["quantile"]
    )
    for name, quantile in (("p50", "0.5"), ("p99", "0.99")):
        if row[name] is not None:
            latency.add_metric([quantile], row[name])
    yield from (outcome, latency)


def _columns() -> Iterator[Metric]:
    """Parts only where this machine has a copy; troubles where it has none for them too."""
    parts = GaugeMetricFamily("scrm_columns_parts", "Parts of the copy in columns", labels=["source"])
    size = GaugeMetricFamily("scrm_columns_bytes", "Bytes of the copy in columns", labels=["source"])
    age = GaugeMetricFamily("scrm_columns_age_seconds", "Age of the oldest part", labels=["source"])
    for row in copied_parts():
        parts.add_metric([row["source"]], row["parts"])
        size.add_metric([row["source"]], row["bytes"])
        age.add_metric([row["source"]], row["age"])
    yield from (parts, size, age)
    wrong = GaugeMetricFamily(
        "scrm_columns_troubled", "Parts that were spoiled, doubted or not written in a day", labels=["kind"]
    )
    for kind, count in counted_troubles().items():
        wrong.add_metric([kind], count)
    yield wrong


def exposition() -> bytes:
    """All metrics in Prometheus' text format: this machine's processes, and what the database knows."""
    counted: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]  # the library has no annotation here
    known = CollectorRegistry()
    known.register(DatabaseCollector())
    return generate_latest(counted) + generate_latest(known)
