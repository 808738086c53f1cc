"""`plan`: a broadcast to 100,000 customers from its condition to WeCom's calls, against the bare INSERT … SELECT.

A process of its own, as a worker would be, freezes the audience (a condition tree of three leaves, owners among 50
members, one customer in five held by two of them, split into chunks) and then makes the payload of every chunk, a few at
a time. Its time is that of the freeze; its memory is the peak over everything. The baseline, in the same process and
interleaved, inserts the same customers by their ids and decides nothing.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, literal, select, text, update

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.broadcasts import jobs
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastKind, BroadcastState, BroadcastTarget
from scrm.broadcasts.queries.bulk import in_list
from scrm.cli.stores import Postgres, Valkey, running
from scrm.customers.models import Customer
from scrm.kernel.db import db, session, transaction
from scrm.kernel.events import publish
from scrm.kernel.schema import upgrade_schema
from scrm.wecom.effects import settled
from scrm.wecom.models import Effect, EffectState

TARGET_SECONDS = 10.0
TARGET_MB = 300.0
ROUNDS = 5
RECIPIENTS, QUICK_RECIPIENTS = 100_000, 2_000
STAFF = 50
APP = {
    "agent_id": 1000002,
    "secret": "bench-secret",
    "token": "QDG6eK",
    "aes_key": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
}
TREE = {
    "all": [
        {"kind": "has_tag", "tag_ids": [1]},
        {"kind": "added_within_days", "days": 60},
        {"not": {"kind": "has_tag", "tag_ids": [2]}},
    ]
}


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns one line for the time of the freeze and one for the worker's peak memory."""
    quick = bool(options.get("quick"))
    wanted, rounds = (QUICK_RECIPIENTS, 1) if quick else (RECIPIENTS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="scrm-bench-", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder) / "pg", durable=True)
        valkey = Valkey(Path(folder) / "valkey", durable=False)
        with running(postgres, valkey):
            stores = {"SCRM_DATABASE_URL": postgres.url, "SCRM_REDIS_URL": valkey.url, "SCRM_VAR_DIR": folder}
            _in_a_process(stores, "seed", wanted)
            figures = _in_a_process(stores, "measure", wanted, rounds)
    value, baseline = statistics.median(figures["plan"]), statistics.median(figures["bare"])
    ratio = statistics.median(p / b for p, b in zip(figures["plan"], figures["bare"], strict=True))
    return [
        {
            "name": "plan",
            "value": round(value, 2),
            "unit": "s",
            "baseline": round(baseline, 2),
            "ratio": round(ratio, 2),
            "target": TARGET_SECONDS,
            "pass": value <= TARGET_SECONDS,
            "recipients": wanted,
            "submit_s": round(statistics.median(figures["submit"]), 2),
        },
        {
            "name": "plan memory",
            "value": round(figures["peak_mb"], 1),
            "unit": "MB",
            "baseline": round(figures["idle_mb"], 1),
            "ratio": round(figures["peak_mb"] / figures["idle_mb"], 2),
            "target": TARGET_MB,
            "pass": figures["peak_mb"] <= TARGET_MB,
        },
    ]


def _in_a_process(stores: Mapping[str, str], what: str, *numbers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.plan", what, *map(str, numbers)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SCRM_")} | dict(stores)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def seed(wanted: int) -> dict[str, Any]:
    """Make ``wanted`` customers who match TREE and a fifth as many who do not, set-based."""
    upgrade_schema()
    values = {"wanted": wanted, "all": wanted + wanted // 5, "staff": STAFF}
    for statement in SEED:
        session().execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    session().commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return {}


SEED = (
    """INSERT INTO staff (userid, status, follows_customers, refreshed_at)
    SELECT 'staff' || n, 1, true, now() FROM generate_series(1, :staff) n""",
    """INSERT INTO customers (external_userid, name)
    SELECT 'wm' || md5(n::text), 'Customer ' || n FROM generate_series(1, :all) n""",
    # half of the customers belong to four members, so that those need several chunks; every fifth has a second member
    """INSERT INTO follows (customer_id, staff_id, added_at)
    SELECT c.id, 1 + (CASE WHEN c.id % 2 = 0 THEN (c.id / 2) % 4 ELSE c.id % :staff END + k * 7) % :staff,
      now() - interval '40 days' + k * interval '1 day'
    FROM customers c CROSS JOIN generate_series(0, 1) k WHERE k = 0 OR c.id % 5 = 0""",
    """INSERT INTO messages (sent_at, channel, message_key, direction, kind, content, customer_id, staff_id)
    SELECT now() - (f.id % 20) * interval '1 day', 'kf', 'm' || f.id, 'out', 'text', '{}', f.customer_id, f.staff_id
    FROM follows f WHERE f.customer_id % 2 = 0""",
    "INSERT INTO tag_groups (wecom_id, name) VALUES ('etg1', 'Stage')",
    "INSERT INTO tags (wecom_id, group_id, name) VALUES ('et1', 1, 'Buyer'), ('et2', 1, 'Do not disturb')",
    """INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at)
    SELECT DISTINCT ON (f.customer_id, t.id) f.customer_id, f.id, t.id, 'active', now()
    FROM follows f CROSS JOIN tags t WHERE t.id = 1 OR f.customer_id > :wanted""",
)


def measure(wanted: int, rounds: int) -> dict[str, Any]:
    """Seconds of the freeze, of the bare insert and of making all payloads, each round; peak memory in MB."""
    figures: dict[str, Any] = {"plan": [], "bare": [], "submit": [], "idle_mb": _peak_mb()}
    for _ in range(rounds):
        broadcast_id = _make_broadcast()
        figures["plan"].append(_timed(jobs.freeze_audiences))
        _check(broadcast_id, wanted)
        figures["submit"].append(_timed(_submit_everything, broadcast_id))
        session().execute(text("TRUNCATE effects, broadcasts CASCADE"))
        session().commit()
        ids = list(
            session().scalars(text("SELECT id FROM customers WHERE id <= :wanted"), {"wanted": wanted})
        )
        figures["bare"].append(_timed(_bare_insert, ids))
        session().execute(text("TRUNCATE broadcasts CASCADE"))
        session().commit()
    figures["peak_mb"] = _peak_mb()
    return figures


def _make_broadcast() -> int:
    with transaction():
        made = Broadcast(
            name="bench",
            kind=BroadcastKind.CUSTOMERS,
            state=BroadcastState.PLANNING,
            text="hello",
            attachments=[],
            audience={"condition": TREE},
            made_by="bench",
        )
        session().add(made)
        session().flush()
        return made.id


def _check(broadcast_id: int, wanted: int) -> None:
    """The plan is right, or the measurement is worth nothing."""
    targets = select(func.count(), func.count(BroadcastTarget.chunk_id)).where(
        BroadcastTarget.broadcast_id == broadcast_id
    )
    in_chunks = select(func.sum(BroadcastChunk.recipients), func.max(BroadcastChunk.recipients))
    if tuple(session().execute(targets).one()) != (wanted, wanted):
        raise SystemExit(f"bench plan: not {wanted} recipients with a chunk each")
    total, largest = session().execute(in_chunks).one()
    if total != wanted or largest > 10_000:
        raise SystemExit(f"bench plan: chunks hold {total}, the largest {largest}")


def _submit_everything(broadcast_id: int) -> None:
    """Make every chunk's effect; WeCom's answers are written by hand, because its time is not measured here."""
    while True:
        jobs.submit_chunks()
        with transaction():
            waiting = update(Effect).where(Effect.state == EffectState.PLANNED)
            answer = func.jsonb_build_object(
                "msgid", func.concat("msg", Effect.id), "fail_list", text("'[]'::jsonb")
            )
            answered = waiting.values(state=EffectState.CONFIRMED, result=answer).returning(Effect)
            effects = session().scalars(answered.execution_options(synchronize_session=False)).all()
            publish(*(settled(effect) for effect in effects))
        session().expunge_all()
        if not effects:
            break
    if session().scalar(select(Broadcast.state).filter_by(id=broadcast_id)) is not BroadcastState.OPEN:
        raise SystemExit("bench plan: not every chunk was handed over")


def _bare_insert(ids: list[int]) -> None:
    """What any way of keeping the same recipients costs at least."""
    broadcast_id = _make_broadcast()
    rows = select(literal(broadcast_id), Customer.external_userid, Customer.id, literal("planned"))
    names = ["broadcast_id", "recipient", "customer_id", "state"]
    session().execute(insert(BroadcastTarget).from_select(names, rows.where(in_list(Customer.id, ids))))
    session().commit()


def _timed(work: Callable[..., object], *arguments: Any) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(what: str, *numbers: str) -> None:
    """Seed or measure in this process; prints what was found as JSON."""
    configure_logging(Log(level="WARNING", format="json"), "bench")
    app = create_app(load_settings(apps={"main": APP}))
    with app.app_context():
        found = {"seed": seed, "measure": measure}[what](*map(int, numbers))
        db.session.remove()
        db.engine.dispose()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
