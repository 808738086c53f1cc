"""`rules`: 100 active rules look at 1,000 changed customers, and at all customers.

One embedded PostgreSQL, data made in SQL: customers with one relation, tags on it, groups. Incremental: the CPU time of
this process and of its database backend together. Backfill: wall time of 100 runs one after the other, first with the
differences that a new rule finds, then again, when there is nothing to write. The baseline of the backfill is one bare
count per rule by the same predicate: the least that any look at everybody costs.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.stores import Postgres, Valkey, running
from scrm.customers.models import Customer
from scrm.kernel.db import db, session, transaction
from scrm.kernel.schema import upgrade_schema
from tags.models import RuleDue, RuleRun, RuleState, TagHistory
from tags.rules.compiler import compile_condition
from tags.rules.service import saving
from tags.rules.service.working import advance_run, due_shards, evaluate_due

CUSTOMERS, QUICK_CUSTOMERS = 1_000_000, 20_000
RULES, CHANGED, TAGS, HELD, STAFF, GROUPS = 100, 1_000, 200, 5, 100, 200
CPU_TARGET, BACKFILL_TARGET = 1.0, 120.0  # seconds; the latter for CUSTOMERS
TICK = os.sysconf("SC_CLK_TCK")


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; the target of a backfill shrinks with the number of customers."""
    customers = int(options.get("customers") or (QUICK_CUSTOMERS if options.get("quick") else CUSTOMERS))
    target = BACKFILL_TARGET * customers / CUSTOMERS
    with seeded(customers):
        rule_ids = [_make_rule(number) for number in range(RULES)]
        bare = _timed(lambda: _count_each(rule_ids))
        first, changes = _backfill(rule_ids)
        again, none = _backfill(rule_ids)
        if none:
            raise SystemExit(f"bench rules: a second backfill changed {none} tags")
        _rename(customers)
        cpu, wall, waited = _incremental()
    told = {"customers": customers, "rules": RULES}
    return [
        _line("rules_incremental_cpu", cpu, CPU_TARGET, wall, {**told, "changed": waited}),
        _line("rules_backfill", first, target, bare, {**told, "tags_set": changes}),
        _line("rules_backfill_again", again, target, bare, {**told, "tags_set": 0}),
    ]


def _line(name: str, value: float, target: float, baseline: float, told: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": name, "value": round(value, 3), "unit": "s", "baseline": round(baseline, 3),
        "ratio": round(value / baseline, 2), "target": round(target, 3), "pass": value <= target, **told,
    }  # fmt: skip


@contextmanager
def seeded(customers: int) -> Iterator[None]:
    """An application on stores of its own with so many customers whose ids begin at 1."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder) / "pg", durable=False)
        valkey = Valkey(Path(folder) / "valkey", durable=False)
        with running(postgres, valkey):
            configure_logging(Log(level="WARNING", format="json"), "bench")
            app = create_app(load_settings(database_url=postgres.url, redis_url=valkey.url))
            with app.app_context():
                upgrade_schema()
                _seed(customers)
                yield
                db.session.remove()
                db.engine.dispose()


def _seed(customers: int) -> None:
    values = {"customers": customers, "staff": STAFF, "groups": GROUPS, "tags": TAGS + RULES, "held": HELD}
    for statement in SEED:
        session().execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    session().commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _make_rule(number: int) -> int:
    """Rules of every sort: fields, relations, tags, groups, and several of them together; about one in 200 customers."""
    name: dict[str, Any] = {
        "kind": "field", "field": "customer.name", "op": "equals", "value": f"Customer {number}",
    }  # fmt: skip
    tag = {"kind": "has_tag", "tag_ids": [1 + number % TAGS]}
    group = {"kind": "in_group", "group_ids": [1 + number % GROUPS]}
    staff = {"kind": "follow", "staff_ids": [1 + number % STAFF]}
    trees = (name, {"any": [name, {"all": [tag, staff]}]}, {"all": [staff, {"not": tag}, {"not": name}]}, group,
             {"any": [name, {"all": [group, tag]}]})  # fmt: skip
    data = {
        "name": f"rule {number}", "state": RuleState.DRAFT, "condition": trees[number % len(trees)],
        "add_tag_ids": [TAGS + 1 + number], "remove_tag_ids": [], "keep": False,
    }  # fmt: skip
    with transaction():
        rule = saving.create_rule(data, "bench")
        saving.change_rule(rule.id, {"state": RuleState.ACTIVE}, "bench")
        return rule.id


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _count_each(rule_ids: list[int]) -> None:
    from tags.rules.service.evaluating import active_rules

    for rule in active_rules(rule_ids):
        holds = compile_condition(rule.condition, everybody=True)
        session().scalar(select(func.count()).select_from(Customer).where(holds))
    session().rollback()


def _backfill(rule_ids: list[int]) -> tuple[float, int]:
    """Seconds, and how many tags were set or taken away."""
    lines = select(func.count()).select_from(TagHistory)
    before = session().scalar(lines) or 0
    began = time.perf_counter()
    for rule_id in rule_ids:
        _backfill_one(rule_id)
    took = time.perf_counter() - began
    session().rollback()
    return took, (session().scalar(lines) or 0) - before


def _backfill_one(rule_id: int) -> None:
    with transaction():
        run_id = _start(rule_id)
    more = True
    while more:
        with transaction():
            more = advance_run(run_id)
    with transaction():
        run = session().get_one(RuleRun, run_id)
        if run.state != "done":
            raise SystemExit(f"bench rules: run of rule {rule_id} is {run.state}: {run.error}")


def _start(rule_id: int) -> int:
    return saving.start_backfill(rule_id).id


def _rename(customers: int) -> None:
    """Other names for CHANGED customers, spread over the base; about half of them fit a rule then."""
    step = max(1, customers // CHANGED)
    with transaction():
        ids = session().scalars(
            text("UPDATE customers SET name = 'Customer ' || id % 200 WHERE id % :step = 0 AND id <= :last "
                 "RETURNING id"), {"step": step, "last": step * CHANGED},
        ).all()  # fmt: skip
        every = "INSERT INTO rule_due (customer_id, rule_ids, since) SELECT id, ARRAY(SELECT id FROM rules), now()"
        session().execute(text(f"{every} FROM unnest(CAST(:ids AS bigint[])) id"), {"ids": list(ids)})


def _incremental() -> tuple[float, float, int]:
    """CPU seconds of this process and its backend, wall seconds, customers that waited; every rule looks at each."""
    with transaction():
        waited = session().scalar(select(func.count()).select_from(RuleDue)) or 0
        shards = due_shards()
        backend = int(session().scalar(text("SELECT pg_backend_pid()")) or 0)
    ours, theirs, began = time.process_time(), _cpu_of(backend), time.perf_counter()
    for shard in shards:
        with transaction():
            evaluate_due(shard)
    wall = time.perf_counter() - began
    return time.process_time() - ours + _cpu_of(backend) - theirs, wall, waited


def _cpu_of(pid: int) -> float:
    """User and system seconds of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


SEED = (
    "INSERT INTO staff (userid, name) SELECT 'staff' || n, 'Staff ' || n FROM generate_series(1, :staff) n",
    """INSERT INTO customers (external_userid, name, type, gender, refreshed_at)
    SELECT 'wm' || md5(n::text), 'Customer ' || n % 2000, 1, n % 3, now() FROM generate_series(1, :customers) n""",
    """INSERT INTO follows (customer_id, staff_id, added_at, confirmed_at, add_way)
    SELECT id, 1 + (id * 7) % :staff, now() - make_interval(hours => (id % 9000)::int), now(), 1 FROM customers""",
    """INSERT INTO customer_groups (chat_id, name, owner_staff_id)
    SELECT 'wr' || n, 'Group ' || n, 1 + n % :staff FROM generate_series(1, :groups) n""",
    """INSERT INTO group_stays (group_id, member_id, member_type, customer_id, joined_at)
    SELECT 1 + (id * 13) % :groups, external_userid, 2, id, now() - interval '3 days' FROM customers WHERE id % 2 = 0""",
    "INSERT INTO tag_groups (wecom_id, name) VALUES ('etg1', 'Stage')",
    "INSERT INTO tags (wecom_id, group_id, name) SELECT 'et' || n, 1, 'Tag ' || n FROM generate_series(1, :tags) n",
    """INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at)
    SELECT f.customer_id, f.id, 1 + (f.id * 31 + k * 37) % 200, 'active', now()
    FROM follows f CROSS JOIN generate_series(1, :held) k""",
    "INSERT INTO tag_sources (assignment_id, source, since) SELECT id, 'wecom', now() FROM tag_assignments",
)
