"""`value`: RFM scores and lifecycle stages of everybody, the first time (every row is written) and again a day later.

The data is made in SQL: a million persons with three orders each on average, spread unevenly (a quarter never bought). The
baseline is what the work cannot do without: reading the same orders and grouping them by person, in one plain query.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.stores import Postgres, Valkey, running
from scrm.kernel.clock import shifted
from scrm.kernel.db import db, session, transaction
from scrm.kernel.schema import upgrade_schema
from scrm.value.service.lifecycle import stage_people
from scrm.value.service.rfm import score

TARGET_SECONDS = 30.0
PEOPLE, QUICK_PEOPLE = 1_000_000, 5_000


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns two lines: seconds of the first run over everybody and of the one a day later."""
    quick = bool(options.get("quick"))
    people = int(options.get("people") or (QUICK_PEOPLE if quick else PEOPLE))
    with seeded(people):
        baseline = _seconds(_group)
        figures = {"value_first": _seconds(_everybody)}
        check(people)
        with shifted(timedelta(days=1)):
            figures["value_daily"] = _seconds(_everybody)
        check(people)
    return [
        {
            "name": name,
            "value": round(seconds, 2),
            "unit": "s",
            "baseline": round(baseline, 2),
            "ratio": round(seconds / baseline, 1),
            "target": TARGET_SECONDS,
            "pass": seconds <= TARGET_SECONDS,
        }
        for name, seconds in figures.items()
    ]


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _everybody() -> None:
    with transaction():
        score()
        stage_people()


def _group() -> None:
    session().execute(text(GROUP)).all()
    session().rollback()


def check(people: int) -> None:
    """Stop when somebody has no stage, or who bought within the year no score."""
    staged, scored = session().execute(text(COUNTS)).one()
    if staged != people or not people * 0.6 < scored <= people * 0.75:
        raise SystemExit(f"bench value: {staged} persons have a stage and {scored} scores, of {people}")
    session().rollback()


@contextmanager
def seeded(people: int) -> Iterator[None]:
    """:func:`database` with ``people`` persons and their orders."""
    with database():
        for statement in SEED:
            session().execute(text(statement), {"people": people} if ":people" in statement else {})
        session().commit()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield


@contextmanager
def database() -> Iterator[None]:
    """An application on its own durable store, empty."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder) / "pg", durable=True)
        valkey = Valkey(Path(folder) / "valkey", durable=False)
        with running(postgres, valkey):
            configure_logging(Log(level="WARNING", format="json"), "bench")
            app = create_app(load_settings(database_url=postgres.url, redis_url=valkey.url))
            with app.app_context():
                upgrade_schema()
                yield
                db.session.remove()
                db.engine.dispose()


SEED = (
    "INSERT INTO people SELECT FROM generate_series(1, :people)",
    """INSERT INTO orders (person_id, source, source_id, status, status_at, placed_at, paid_at, amount, currency)
    SELECT p.id, 'mall', p.id || '-' || n, 'paid', at, at, at, 10 + (p.id * 37 + n * 11) % 990, 'CNY'
    FROM people p CROSS JOIN LATERAL generate_series(1, CAST((p.id % 4) * (1 + p.id % 3) AS int)) n
    CROSS JOIN LATERAL (SELECT now() - make_interval(days => CAST((p.id * 7 + n * 29) % 400 AS int)) AS at) t""",
)
GROUP = "SELECT count(*) FROM (SELECT person_id, max(paid_at), count(*), sum(amount) FROM orders GROUP BY person_id) o"
COUNTS = "SELECT (SELECT count(*) FROM lifecycle), (SELECT count(*) FROM rfm_scores)"
