"""`sets`: trees of ten leaves of tags and attributes, counted by sets and by the SQL they are compiled to.

*Warm*: this process has the sets. *Redis*: another process does. *Emptied*: Redis was emptied, PostgreSQL has them still. *Changed*: 1,000 customers gained or lost a tag since, and the
answer must be of this moment. *Cold*: nobody knows anything. *Noted*: what the triggers add to a statement that changes the
tags of 1,000 customers (baseline: without them). All counts are compared with SQL's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

from sqlalchemy import func, select, text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.stores import Valkey, running
from scrm.customers.models import Customer
from scrm.kernel.db import db, session, transaction
from scrm.kernel.permissions import Scope
from tags.columns.service.noting import ensure_base
from tags.rules.compiler import compile_condition
from tags.sets.service import backing, store
from tags.sets.service.counting import count_tree
from tags.sets.service.memory import memory
from tests.bench.company import FULL, QUICK, Company, ensure
from tests.bench.questions.tags import QUESTIONS

SEED = 20261122
ROUNDS, QUICK_ROUNDS = 15, 2
MILLISECONDS = 100.0
MOST_NOTED = 1.5  # times as long as without triggers
CHANGED = 1_000
Tree = Mapping[str, Any]


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns a line for each way of being asked.

    :param options: ``quick``; ``customers`` or ``rows``: of a smaller company with few events, when the machine is shared
    """
    quick = bool(options.get("quick"))
    customers = options.get("customers") or options.get("rows")
    company = Company(int(customers), 200_000, 30_000) if customers else QUICK if quick else FULL
    ensure(company)
    with _program(company):
        with transaction():
            ensure_base()
        times = _rounds(QUICK_ROUNDS if quick else ROUNDS)
        noted = _noted(QUICK_ROUNDS if quick else ROUNDS)
    sql = statistics.median(times.pop("sql"))
    lines = [_line(how, found, sql, MILLISECONDS, quick) for how, found in times.items() if how != "cold"]
    lines.append(_line("cold", times["cold"], sql, sql * 3, quick))
    bare = statistics.median(noted["bare"])
    return [*lines, _line("noted", noted["noted"], bare, bare * MOST_NOTED, quick)]


@contextmanager
def _program(company: Company) -> Iterator[None]:
    with running(company.postgres, valkey := Valkey(company.folder / "valkey", durable=False)):
        urls = {"database_url": company.postgres.url, "redis_url": valkey.url, "var_dir": company.folder}
        settings = load_settings(**urls)
        configure_logging(Log(level="ERROR", format="text"), "bench")
        with create_app(settings).app_context():
            yield
            db.session.remove()
            db.engine.dispose()


def _rounds(count: int) -> dict[str, list[float]]:
    """Milliseconds of every way; each round has trees of its own, one more goes before."""
    times: dict[str, list[float]] = {
        how: [] for how in ("warm", "redis", "emptied", "changed", "cold", "sql")
    }
    for number in range(count + 1):
        for maker in QUESTIONS:
            tree = maker(Random(f"{SEED}:{number}:{maker.__name__}")).tree
            for how, milliseconds in _asked(tree).items() if number else ():
                times[how].append(milliseconds)
    return times


def _asked(tree: Tree) -> dict[str, float]:
    with transaction():
        backing.forget()
    _empty(backed=False)
    found: dict[str, tuple[float, int]] = {
        "cold": _timed(lambda: _by_sets(tree)),
        "warm": _timed(lambda: _by_sets(tree)),
    }
    memory().clear()
    found["redis"] = _timed(lambda: _by_sets(tree))
    _empty()
    found["emptied"] = _timed(lambda: _by_sets(tree))
    found["sql"] = _timed(lambda: _by_sql(tree))
    if len({number for _, number in found.values()}) > 1:
        raise SystemExit(f"bench sets: {found} for {tree}")
    _change()
    found["changed"] = _timed(lambda: _by_sets(tree, fresh=True))
    if found["changed"][1] != _by_sql(tree):
        raise SystemExit(f"bench sets: {found['changed']} after a change of {tree}")
    _change()  # back again
    return {how: milliseconds for how, (milliseconds, _) in found.items()}


def _empty(*, backed: bool = True) -> None:
    """Redis and this process forget all sets; before that a worker may have written them into PostgreSQL."""
    if backed:
        with transaction():
            backing.back([each.key for each in store.shelved()])
    memory().clear()
    store.forget([each.digest for each in store.shelved()])


def _timed(ask: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    number = ask()
    return (time.perf_counter() - started) * 1000, number


def _by_sets(tree: Tree, *, fresh: bool = False) -> int:
    with transaction():
        return count_tree(tree, Scope.all(), fresh=fresh, seconds=120).count


def _by_sql(tree: Tree) -> int:
    with transaction():
        session().execute(text("SET LOCAL jit = off"))
        session().execute(text("SET LOCAL work_mem = '64MB'"))
        clause = compile_condition(tree, everybody=True)
        return session().scalar(select(func.count()).select_from(Customer).where(clause)) or 0


def _change(*, noted: bool = True) -> None:
    """Customers lose a tag, or get it back."""
    with transaction():
        if not noted:
            session().execute(text("SET LOCAL session_replication_role = replica"))
        session().execute(_SWITCH, {"most": CHANGED})


_SWITCH = text("""
UPDATE tag_assignments SET state = CASE state WHEN 'active' THEN 'removed' ELSE 'active' END
WHERE id IN (SELECT min(id) FROM tag_assignments WHERE customer_id <= :most GROUP BY customer_id)""")


def _noted(count: int) -> dict[str, list[float]]:
    """There and back each time: the one way is dearer than the other."""
    times: dict[str, list[float]] = {"bare": [], "noted": []}
    for number in range(count + 1):
        for how, found in times.items():
            started = time.perf_counter()
            for _ in range(2):
                _change(noted=how == "noted")
            if number:
                found.append((time.perf_counter() - started) * 1000)
    return times


def _line(how: str, found: list[float], baseline: float, target: float, quick: bool) -> dict[str, Any]:
    ordered = sorted(found)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    value = statistics.median(found)
    return {
        "name": f"sets.{how}", "value": round(value, 1), "unit": "ms", "baseline": round(baseline, 1),
        "ratio": round(value / baseline, 3), "target": round(target, 1), "p95": round(p95, 1),
        "pass": quick or (value if how in ("cold", "noted") else p95) <= target,
    }  # fmt: skip
