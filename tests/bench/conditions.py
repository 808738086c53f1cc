"""`conditions`: questions to a million customers, through our API and by hand in PostgreSQL, DuckDB and chDB.

Each round draws new tags, words and windows for every kind of question, asks all four in turn, and all must give the same
number. Ours is asked over HTTP: ``POST /conditions/count`` the first time (*cold*: nobody asked it before) and again
(*warm*), and then a *preview* (20 customers with reasons beside; the others only count). Two threads and as much memory for everybody, loading
outside of every timing (``tests/bench/company.py`` keeps the data). The copy in columns and the sets that a worker asks for by
itself, whatever people ask, are there (``scrm columns --refresh``, ``scrm sets --warm``: no worker and no clock run here, as
they would change the kept data); *nothing known* is measured by ``sets``.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import requests

from tests.bench import exports
from tests.bench.company import FULL, QUICK, Company, ensure
from tests.bench.questions import events, sequences, tags
from tests.bench.questions.shapes import Question
from tests.bench.rivals import THREADS, Rival
from tests.stack import Stack

ROUNDS, QUICK_ROUNDS = 11, 2
SEED = 20261122
MAKERS = (*tags.QUESTIONS, *events.QUESTIONS, *sequences.QUESTIONS)
TARGETS = {"tags": (100, 1.0), "events": (1000, 3.0), "sequence": (2000, 3.0)}
"""Family → milliseconds that 95 % of our answers may take, and how many times the best rival's median ours may be."""
RIVALS = ("duckdb", "chdb")
OURS = ("cold", "warm", "preview")
BY_HAND = f"""SET jit = off; SET work_mem = '256MB'; SET max_parallel_workers_per_gather = {THREADS - 1};
SET hash_mem_multiplier = 2; SET min_parallel_table_scan_size = '1MB'; SET parallel_setup_cost = 100"""
"""What somebody who asks PostgreSQL by hand would set."""


@dataclass
class Times:
    """Seconds of one kind of question, by who was asked."""

    family: str
    of: dict[str, list[float]] = field(default_factory=dict)

    def add(self, who: str, seconds: float) -> None:
        """One more answer."""
        self.of.setdefault(who, []).append(seconds)

    def median(self, who: str) -> float:
        """In milliseconds."""
        return statistics.median(self.of[who]) * 1000

    def p95(self, who: str) -> float:
        """In milliseconds."""
        ordered = sorted(self.of[who])
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns a line for every kind of question, cold and warm."""
    quick = bool(options.get("quick"))
    company = QUICK if quick else FULL
    ensure(company)
    with _everybody(company) as ask:
        times = _rounds(ask, QUICK_ROUNDS if quick else ROUNDS)
    return [_line(name, each, how, quick=quick) for name, each in times.items() for how in OURS]


Asking = Mapping[str, Any]


@contextmanager
def _everybody(company: Company) -> Iterator[Asking]:
    """Who is asked → statement or tree → (number, seconds)."""
    with ExitStack() as stack:
        columns = {"SCRM_COLUMNS__FOLDER": str(company.folder / "columns"), "SCRM_COLUMNS__LEAST_ROWS": "0"}
        ours = stack.enter_context(Stack(("web",), postgres=company.postgres, environment=columns))
        _load_rivals(company, ours.postgres.dsn("scrm"))
        asked: dict[str, Any] = {
            name: stack.enter_context(Rival(name, company.folder)).ask for name in RIVALS
        }
        connection = stack.enter_context(psycopg.connect(ours.postgres.dsn("scrm"), autocommit=True))
        connection.execute(BY_HAND)
        asked["postgres"] = lambda statement: _by_hand(connection, statement)
        for done_by_workers in (
            ("columns", "--refresh"),
            ("sets", "--warm"),
        ):  # within minutes of the first start
            ours.run(*done_by_workers, seconds=900)
        token = json.loads(ours.run("apikey", "create", "bench", "--scope", "*", "--json").stdout)["token"]
        http = stack.enter_context(requests.Session())
        http.headers["Authorization"] = f"Bearer {token}"
        asked["count"] = lambda tree: _ours(http, f"{ours.url}/api/v1/conditions/count", {"condition": tree})
        asked["preview"] = lambda tree: _ours(
            http,
            f"{ours.url}/api/v1/rules/preview",
            {"condition": tree, "add_tag_ids": [], "remove_tag_ids": []},
        )
        yield asked


def _load_rivals(company: Company, dsn: str) -> None:
    """Once for each kept company; the exported files go afterwards."""
    missing = [Rival(name, company.folder) for name in RIVALS if not _loaded(company, name).exists()]
    if not missing:
        return
    folder = company.folder / "exported"
    exports.export(dsn, folder)
    for rival in missing:
        _remove(company.folder / rival.name)
        rival.load(folder)
        _loaded(company, rival.name).touch()
    _remove(folder)


def _loaded(company: Company, name: str) -> Path:
    return company.folder / f"{name}.loaded"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _by_hand(connection: psycopg.Connection[Any], statement: str) -> tuple[int, float]:
    started = time.perf_counter()
    row = connection.execute(statement).fetchone()
    return (row[0] if row else -1), time.perf_counter() - started


def _ours(http: requests.Session, url: str, body: Mapping[str, Any]) -> tuple[int, float]:
    started = time.perf_counter()
    answer = http.post(url, json=body)
    seconds = time.perf_counter() - started
    if answer.status_code != requests.codes.ok:
        raise SystemExit(f"bench conditions: {answer.status_code} {answer.text[:1000]}")
    return answer.json()["count"], seconds


def _rounds(ask: Asking, rounds: int) -> dict[str, Times]:
    """One round more than is measured goes before, with questions of its own, so that nobody reads from disk."""
    times: dict[str, Times] = {}
    for number in range(rounds + 1):
        for maker in MAKERS:
            question = maker(Random(f"{SEED}:{number}:{maker.__name__}"))
            found = _asked(ask, question, turn=number)
            each = times.setdefault(question.name, Times(question.family))
            for who, seconds in found.items() if number else ():
                each.add(who, seconds)
    return times


def _asked(ask: Asking, question: Question, turn: int) -> dict[str, float]:
    """Seconds by who was asked; who begins changes with the turn.

    :raises SystemExit: they do not agree
    """
    order = ["ours", "postgres", *RIVALS]
    order = order[turn % len(order) :] + order[: turn % len(order)]
    numbers, seconds = {}, {}
    for who in order:
        if who == "ours":
            for how in OURS:
                asked = "preview" if how == "preview" else "count"
                numbers[how], seconds[how] = ask[asked](question.tree)
        else:
            numbers[who], seconds[who] = ask[who](question.sql[who])
    if len(set(numbers.values())) > 1:
        raise SystemExit(f"bench conditions: {question.name}: {numbers} for {json.dumps(question.tree)}")
    return seconds


def _line(name: str, times: Times, how: str, *, quick: bool) -> dict[str, Any]:
    """Value and baseline are medians; the target is for the 95th percentile, and the ratio has one too."""
    others = {who: round(times.median(who), 1) for who in ("postgres", *RIVALS)}
    best = min(others, key=lambda who: others[who])
    target, most = TARGETS[times.family]
    ratio, p95 = times.median(how) / times.median(best), times.p95(how)
    return {
        "name": f"conditions.{times.family}.{name.replace(' ', '_').replace(',', '')}.{how}",
        "value": round(times.median(how), 1), "unit": "ms", "baseline": others[best], "ratio": round(ratio, 2),
        "target": target, "pass": quick or (p95 <= target and ratio <= most),
        "p95": round(p95, 1), "best": best, "ratio_target": most, "others": others,
    }  # fmt: skip
