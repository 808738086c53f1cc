"""`sync`: a full sync of 1,000 members with 1,000 customers each, then a second one with nothing changed.

The company is the sandbox's computed one, its rate limits and ours off, the whole deployment as real processes. The
baseline, in the same run, is a client that reads the same pages with as many calls at once and stores nothing. A
welcome's delay is measured before (idle) and while the second sync runs.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import psutil
import requests

from scrm.kernel.jobs import DAILY
from tests.bench.welcome import MESSAGE, RECEIVED
from tests.stack import APP, CORP_ID, EVERYTHING, Stack, wait_until

MEMBERS, EACH = 1_000, 1_000
WORKER = "worker:background"
MEMORY_MB = 500
FIRST, SECOND = 3_000, 6_667
"""Customers a second. WeCom's limits leave a sync 4,000 calls a minute (40 % of 10,000), a hundred customers each: a sync
with nothing to change must not be what is slow; a first one writes every row and may take twice as long."""
SLOWER = 1.0  # seconds that a welcome may come later while a sync runs (99th percentile)
CALLS_AT_ONCE = 8
ADDS_PER_SECOND = 5.0
IDLE_SECONDS = 30.0
WELCOME = "externalcontact/send_welcome_msg"
DOMAIN = (
    "departments", "staff", "staff_departments", "customers", "follows", "tag_groups", "tags", "tag_assignments",
    "tag_sources", "tag_history", "customer_groups", "group_stays", "timeline", "effects", "rule_due", "losses",
)  # fmt: skip
WRITES = "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables"
STARTED = "SELECT min(started_at) FROM sync_parts"
OPEN = "SELECT count(*) FROM sync_runs WHERE state IN ('reading', 'comparing', 'applying')"


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; ``options`` may hold ``quick``, ``members`` and ``each`` (customers of a member).

    :returns: a line each for the first sync, the second, the rows it wrote, the worker's memory, a welcome's delay
    """
    quick = bool(options.get("quick"))
    members = int(options.get("members", 20 if quick else MEMBERS))
    each = int(options.get("each", 250 if quick else EACH))
    settings = {"SCRM_GOVERNOR__ENABLED": "false", "SCRM_SYNC__CONCURRENCY": str(CALLS_AT_ONCE)}
    parts = [name for name in EVERYTHING if name not in {WORKER, "clock"}]
    with Stack(parts, durable=True, environment=settings, limits={"rate_limits_on": False}) as stack:
        stack.sql(MESSAGE)
        for name in sorted(DAILY):  # nothing of the night comes in between
            stack.sql(
                "INSERT INTO schedule_runs (name, woken_at, finished_at) VALUES (%s, now(), now())", name
            )
        stack.start("clock")
        stack.control.bulk(members=members, customers_per_member=each)
        truth = stack.control.bulk_counts()
        idle = _welcomes(stack, 5.0 if quick else IDLE_SECONDS)
        _quiet(stack)
        baseline = _bare(stack, members)
        first = _sync(stack)
        found = stack.sql("SELECT count(*) FROM follows WHERE status = 'active'")[0][0]
        stack.sql("VACUUM ANALYZE")
        second = _sync(stack)
        third = _sync(stack, welcomes=True)
    return _lines(truth, found, baseline, (first, second, third), idle)


@dataclass
class Measured:
    """One sync: wall time, CPU seconds of all processes and stores, the worker's peak, rows written by table."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    written: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)


def _lines(
    truth: Mapping[str, int], found: int, baseline: float, runs: tuple[Measured, ...], idle: list[float]
) -> list[dict[str, Any]]:
    first, second, third = runs
    customers = truth["customers"]
    rate, again, bare = customers / first.seconds, customers / second.seconds, baseline
    wrote = {table: number for table, number in second.written.items() if number}
    busy, quiet = _p99(third.waits), _p99(idle)
    peak = max(one.peak_mb for one in runs)
    return [
        {
            "name": "sync.first", "value": round(rate), "unit": "customers/s", "baseline": round(bare),
            "ratio": round(rate / bare, 3), "target": f">= {FIRST}, every relation there",
            "pass": rate >= FIRST and found >= truth["relations"], "seconds": round(first.seconds, 1),
            "customers": customers, "relations": truth["relations"], "found": found,
            "cpu_seconds_per_1000": round(first.cpu / customers * 1000, 3),
        },
        {
            "name": "sync.second", "value": round(again), "unit": "customers/s",
            "baseline": round(bare), "ratio": round(again / bare, 3),
            "target": f">= {SECOND}, no row of a domain table written", "pass": again >= SECOND and not wrote,
            "rows_written": wrote,
            "seconds": round(second.seconds, 1), "cpu_seconds_per_1000": round(second.cpu / customers * 1000, 3),
        },
        {
            "name": "sync.memory", "value": round(peak), "unit": "MB, peak of the worker", "baseline": None,
            "ratio": None, "target": f"<= {MEMORY_MB}", "pass": peak <= MEMORY_MB,
        },
        {
            "name": "sync.welcome", "value": round(busy, 3), "unit": "s, p99 of a welcome while a sync runs",
            "baseline": round(quiet, 3), "ratio": round(busy / quiet, 2) if quiet else None,
            "target": f"at most {SLOWER} s later than idle", "pass": busy <= quiet + SLOWER and bool(third.waits),
            "median": round(statistics.median(third.waits), 3) if third.waits else None, "welcomes": len(third.waits),
        },
    ]  # fmt: skip


def _p99(waits: list[float]) -> float:
    return sorted(waits)[min(len(waits) - 1, int(len(waits) * 0.99))] if waits else 0.0


def _quiet(stack: Stack) -> None:
    """Until nothing is left of the welcomes, and nobody else reads the company."""
    wait_until(lambda: stack.sql(OPEN)[0][0] == 0, 600)
    stack.wait_drained(60)


def _sync(stack: Stack, *, welcomes: bool = False) -> Measured:
    """One run by one worker started for it; measured from the moment it takes the first part."""
    _quiet(stack)
    stack.sql("SELECT pg_stat_reset()")
    stack.run("sync", "--no-wait")
    stack.start(WORKER)
    wait_until(lambda: stack.sql(STARTED)[0][0] is not None, 60)
    started, before, done = stack.sql(STARTED)[0][0], cpu_seconds(stack), Measured()
    with Peak(stack.pid(WORKER)) as peak:
        if welcomes:
            done.waits = _welcomes(stack, None)
        _wait_over(stack)
    done.cpu = cpu_seconds(stack) - before
    done.peak_mb = peak.megabytes
    stack.terminate(WORKER, 60)
    state, error, finished = stack.sql(
        "SELECT state, error, finished_at FROM sync_runs ORDER BY id DESC LIMIT 1"
    )[0]
    if state != "done":
        raise AssertionError(f"the run ended {state}: {error}")
    done.seconds = (finished - started).total_seconds()
    done.written = {table: number for table, number in stack.sql(WRITES) if table in DOMAIN}
    return done


def _wait_over(stack: Stack) -> None:
    """Until no run is open; a worker that stands still for a minute will not get there."""
    moved, seen = time.monotonic(), None
    while stack.sql(OPEN)[0][0]:
        now = stack.sql(
            "SELECT sum(pages), sum(applied_pages), count(*), max(state_at) FROM sync_parts p, sync_runs r"
        )
        if now != seen:
            moved, seen = time.monotonic(), now
        if time.monotonic() > moved + 60 or not stack.alive(WORKER):
            raise AssertionError(stack.log(WORKER).read_text(errors="replace")[-3000:])
        time.sleep(0.2)


class Peak:
    """The largest resident memory of a process while the block runs, looked at five times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes = 0.0

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self._look()

    def _look(self) -> None:
        self.megabytes = max(self.megabytes, self._process.memory_info().rss / 1e6)


def cpu_seconds(stack: Stack) -> float:
    """CPU seconds so far of every process of the deployment and its stores, the sandbox excepted; of ended children too."""
    seconds = 0.0
    for pid in [stack.pid(name) for name in stack.names()]:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # its parent counts it from now on
                times = process.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _bare(stack: Stack, members: int) -> float:
    """Customers a second of a client that reads every page, ten members a call, and does nothing with them."""
    base = f"{stack.sandbox.base_url}/cgi-bin/"
    secret = {"corpid": CORP_ID, "corpsecret": str(APP["secret"])}
    token = requests.get(f"{base}gettoken", params=secret, timeout=10).json()["access_token"]
    userids = [userid for userid in stack.control.state_ids("member") if userid][:members]
    chunks = [userids[start : start + 10] for start in range(0, len(userids), 10)]
    started = time.perf_counter()
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        rows = sum(pool.map(lambda chunk: _read_all(base, token, chunk), chunks))
    return rows / (time.perf_counter() - started)


def _read_all(base: str, token: str, userids: list[str]) -> int:
    rows, cursor, http = 0, "", requests.Session()
    while True:
        body = {"userid_list": userids, "cursor": cursor, "limit": 100}
        answer = http.post(
            f"{base}externalcontact/batch/get_by_user", params={"access_token": token}, json=body, timeout=30
        ).json()
        rows += len(answer["external_contact_list"])
        cursor = answer["next_cursor"]
        if not cursor:
            return rows


def _welcomes(stack: Stack, seconds: float | None) -> list[float]:
    """Delays of welcomes from our receipt to WeCom's acceptance, at a steady rate; without seconds: as long as a run is open."""
    since = time.time()
    until = time.monotonic() + (seconds if seconds is not None else 600)
    userids = stack.control.state_ids("member")[:20]
    number = 0
    while time.monotonic() < until and (seconds is not None or stack.sql(OPEN)[0][0]):
        stack.control.add(userids[number % len(userids)], count=1)
        number += 1
        time.sleep(1 / ADDS_PER_SECOND)
    stack.wait_drained(120)
    accepted = {
        call["body"]["welcome_code"]: call["at"]
        for call in stack.control.log(WELCOME, limit=100_000)
        if call["at"] >= since
    }
    received = dict(stack.sql(RECEIVED))
    return [at - received[code] for code, at in accepted.items() if code in received]
