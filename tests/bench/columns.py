"""`columns`: what the copy in columns costs to make and to keep, and what a kept set of a leaf on events costs to keep current.

Its company has a month of two million events more (``ROWS``: so many). *Build*: writing all parts (baseline: the bare COPY of
the same rows out of PostgreSQL). *Bytes*: of an event on disk (in PostgreSQL, with indexes). *Mend*: writing that month after 200
persons changed (writing it whole). *Look*: looking all parts over when nothing changed (one empty question). *Intake*: a
bare INSERT of 1,000 events (the same without triggers). *Again*: a count of events asked before, of this moment, after nobody,
100 or 1,000 persons did something (the copy's first answer).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

from sqlalchemy import text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.stores import Valkey, running
from scrm.kernel.db import db, session, transaction
from scrm.kernel.permissions import Scope
from tags.columns import jobs
from tags.columns.service import refreshing
from tags.columns.service.pieces import part_of
from tags.columns.service.shelf import Chunk, Copy, Source, folder, read_copy
from tags.sets.service import backing, store
from tags.sets.service.counting import count_tree
from tags.sets.service.memory import memory
from tests.bench.company import Company, ensure

COMPANY, SMALL = Company(20_000, 1_000_000, 150_000), Company(5_000, 100_000, 15_000)
MORE, MORE_QUICK = 2_000_000, 20_000
MONTH = date(2026, 8, 1)
ROUNDS = 7
CHANGED = 200
MOST_BUILD = 5  # times as long as reading the rows
MOST_INTAKE = 2  # times as long as a bare INSERT, of which taking events in does much more
LEAF = {
    "kind": "event", "event_type_id": 1, "measure": "count", "op": "gte", "value": 2,
    "window": {"from": "2026-07-15", "to": "2026-09-10"},
}  # fmt: skip
Line = dict[str, Any]


def run(options: Mapping[str, Any]) -> list[Line]:
    """Measure; returns a line for each of them.

    :param options: ``quick``; ``rows``: events of the large month
    """
    quick = bool(options.get("quick"))
    company = SMALL if quick else COMPANY
    ensure(company)
    with _program(company):
        _fill(company, int(options.get("rows") or (MORE_QUICK if quick else MORE)))
        lines = [*_build(), _mend(), _look(), _intake(), *_again()]
    return [{**line, "pass": quick or line["value"] <= line["target"]} for line in lines]


@contextmanager
def _program(company: Company) -> Iterator[None]:
    with running(company.postgres, valkey := Valkey(company.folder / "valkey", durable=False)):
        urls = {"database_url": company.postgres.url, "redis_url": valkey.url, "var_dir": company.folder}
        os.environ["SCRM_COLUMNS__LEAST_ROWS"] = "0"
        settings = load_settings(**urls)
        configure_logging(Log(level="ERROR", format="text"), "bench")
        with create_app(settings).app_context():
            yield
            db.session.remove()
            db.engine.dispose()


def _fill(company: Company, more: int) -> None:
    """Once for each kept company: so many events more in one month, each like one that is there."""
    filled = company.folder / f"columns-{more}.filled"
    if filled.exists():
        return
    values = {"begins": MONTH, "more": more}
    with transaction():
        session().execute(text("SET LOCAL session_replication_role = replica"))
        session().execute(_MORE, values)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE behaviour_events"))
    filled.touch()


_MORE = text("""
INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
SELECT timezone('UTC', CAST(:begins AS timestamp)) + n * 7919 % 2600000 * interval '1 second', e.person_id, e.type_id, e.properties, 'more', n
FROM (SELECT row_number() OVER (ORDER BY id) AS n, * FROM behaviour_events
      CROSS JOIN generate_series(1, :more / 100000 + 1) LIMIT :more) AS e
""")


def _timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def _line(name: str, unit: str, value: float, baseline: float, target: float) -> Line:
    told = {"name": f"columns.{name}", "value": round(value, 2), "unit": unit, "baseline": round(baseline, 2)}
    return {**told, "ratio": round(value / baseline, 3), "target": round(target, 2)}


def _build() -> list[Line]:
    refreshing.forget_files()
    took = _timed(lambda: jobs.write_everything(lambda done, parts: None)) / 1000
    bare = _timed(_copied_out) / 1000
    copy = read_copy() or _nothing()
    chunks = copy.of(Source.EVENTS)
    events = sum(each.rows for each in chunks)
    size = sum((folder() / each.file).stat().st_size for each in chunks)
    with transaction():
        stored = float(session().scalar(_STORED) or 0)
    million = events / 1_000_000
    return [
        {
            **_line(
                "build", "s per million events", took / million, bare / million, MOST_BUILD * bare / million
            ),
            "parts": len(copy.chunks),
        },
        _line("bytes", "bytes per event", size / events, stored / events, 60),
    ]


def _copied_out() -> None:
    with transaction():
        driver: Any = session().connection().connection.driver_connection
        for table in ("behaviour_events", "orders", "order_lines"):
            with driver.cursor() as cursor, cursor.copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as rows:
                for _ in rows:
                    pass


_STORED = text("""
SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('behaviour_events') WHERE isleaf
""")


def _nothing() -> Copy:
    raise SystemExit("bench columns: no copy was made")


def _mend() -> Line:
    whole = statistics.median(_timed(lambda: _written(mended=False)) for _ in range(3))
    return _line("mend", "ms", statistics.median(_timed_mend() for _ in range(3)), whole, whole)


def _timed_mend() -> float:
    """The month after the persons of some events did something more."""
    _insert(CHANGED, "2026-08-15", step=97)
    return _timed(lambda: _written(mended=True))


def _written(*, mended: bool) -> None:
    found = jobs.look_over()
    chunk = _largest(found.copy)
    part = part_of(chunk, anew=not mended)
    if jobs.write(found.copy, part) is None:
        raise SystemExit("bench columns: the copy is of another database")


def _largest(copy: Copy) -> Chunk:
    return max(copy.of(Source.EVENTS), key=lambda each: each.rows)


def _look() -> Line:
    jobs.write_everything(lambda done, parts: None)
    took = statistics.median(_timed(jobs.look_over) for _ in range(ROUNDS))
    return _line("look", "ms", took, statistics.median(_timed(_ask_nothing) for _ in range(ROUNDS)), 50)


def _ask_nothing() -> None:
    with transaction():
        session().execute(text("SELECT 1"))


def _intake() -> Line:
    """There and back in turn, so that what else runs here meets both alike."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * ROUNDS + 2):
        noted = number % 2 == 0
        took = _timed(lambda noted=noted: _insert(1_000, "2026-08-20", noted=noted))  # type: ignore[misc]
        times[noted] += [took] if number > 1 else []
    bare = statistics.median(times[False])
    return _line("intake", "ms per 1,000 events", statistics.median(times[True]), bare, MOST_INTAKE * bare)


def _insert(persons: int, day: str, *, step: int = 1, noted: bool = True) -> None:
    """So many persons do something on a day."""
    with transaction():
        if not noted:
            session().execute(text("SET LOCAL session_replication_role = replica"))
        values = {"day": day, "persons": persons, "step": step, "key": time.monotonic_ns()}
        session().execute(_INSERT, values)


_INSERT = text("""
INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
SELECT CAST(:day AS timestamptz) + n * interval '1 second', 1 + n * :step % 20000, 1, '{"price": 12.5}', 'bench', :key || '-' || n
FROM generate_series(1, :persons) AS n
""")


def _again() -> list[Line]:
    jobs.write_everything(lambda done, parts: None)
    first = statistics.median(_timed(_first) for _ in range(ROUNDS))
    lines = []
    for changed in (0, 100, 1_000):
        times = [_asked_again(changed) for _ in range(ROUNDS)]
        lines.append(_line(f"again.{changed}", "ms", statistics.median(times), first, 100))
    return lines


def _first() -> None:
    """Asked of the copy: nobody has the set."""
    memory().clear()
    store.forget([each.digest for each in store.shelved()])
    with transaction():
        backing.forget()
    _count()


def _asked_again(changed: int) -> float:
    _count(fresh=True)
    if changed:
        _insert(changed, "2026-08-25", step=7)
    return _timed(_count)


def _count(*, fresh: bool = False) -> None:
    with transaction():
        found = count_tree(LEAF, Scope.all(), fresh=fresh, seconds=120)
    if not found.exact:
        raise SystemExit(f"bench columns: an answer of {found.as_of} is not of this moment")
