"""`rules`: 100 active rules look at 1,000 changed customers, and at all customers.

One embedded PostgreSQL with a company of ``scrm generate`` (one relation and 20 tags a customer) and groups beside it.
Incremental: the CPU time of this process and of its database backend together. Backfill: wall time of 100 runs, counted
from the first one asked for (the storm guard counts each) to the last one done; first with the differences that a new
rule finds, then again, when there is nothing to write. The baseline of the backfill is one bare count per rule by the
same predicate: the least that any look at everybody costs. ``cpu`` is what this process and its backend worked for it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.company_data.loading import load
from scrm.cli.company_data.size import Size
from scrm.cli.stores import Postgres, Valkey, running
from scrm.customers.models import Customer
from scrm.kernel.db import db, session, transaction
from scrm.kernel.schema import upgrade_schema
from scrm.staff.models import Staff
from tags.models import RuleDue, RuleRun, RuleState, TagHistory
from tags.rules.compiler import compile_condition
from tags.rules.service import saving
from tags.rules.service.working import advance_run, due_shards, evaluate_due
from tests.bench.company import SEED, UNTIL

CUSTOMERS, QUICK_CUSTOMERS = 1_000_000, 20_000
RULES, CHANGED, HELD, GROUPS, STAFF = 100, 1_000, 20, 100, 4
OWN_GROUP, OWN_TAGS = 1_000, 10_000  # ids of the tags that rules give
CPU_TARGET = 1.0  # seconds
BACKFILL_FIXED, BACKFILL_TARGET = (
    20.0,
    120.0,
)  # seconds: 0.2 a rule whatever its base, and in all for CUSTOMERS
TICK = os.sysconf("SC_CLK_TCK")


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; the target of a backfill shrinks with the number of customers, down to what each rule costs anyway."""
    customers = int(options.get("customers") or (QUICK_CUSTOMERS if options.get("quick") else CUSTOMERS))
    target = BACKFILL_FIXED + (BACKFILL_TARGET - BACKFILL_FIXED) * customers / CUSTOMERS
    with seeded(customers):
        names = _names()
        rule_ids = [_make_rule(number, names) for number in range(RULES)]
        bare = _timed(lambda: _count_each(rule_ids))
        first, worked, changes = _backfill(rule_ids)
        again, worked_again, none = _backfill(rule_ids)
        if none:
            raise SystemExit(f"bench rules: a second backfill changed {none} tags")
        _rename(customers, names)
        cpu, wall, waited = _incremental()
    told = {"customers": customers, "rules": RULES}
    return [
        _line("rules_incremental_cpu", cpu, CPU_TARGET, wall, {**told, "changed": waited}),
        _line("rules_backfill", first, target, bare, {**told, "tags_set": changes, "cpu": worked}),
        _line("rules_backfill_again", again, target, bare, {**told, "tags_set": 0, "cpu": worked_again}),
    ]


def _line(
    name: str, value: float, target: float, baseline: float, told: Mapping[str, float]
) -> dict[str, Any]:
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
    load(Size(customers, 0, 0, HELD, SEED, UNTIL), show=False)
    with transaction():
        for statement in BESIDE:
            values = {"groups": GROUPS, "rules": RULES, "group": OWN_GROUP, "tags": OWN_TAGS}
            session().execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _names() -> list[str]:
    """As many names of customers as there are rules, beginning with what most are called."""
    often = (
        select(Customer.name)
        .group_by(Customer.name)
        .order_by(func.count().desc(), Customer.name)
        .limit(RULES)
    )
    with transaction():
        return [name or "" for name in session().scalars(often)]


def _make_rule(number: int, names: Sequence[str]) -> int:
    """Rules of every sort: fields, relations, tags, groups, and several of them together; about one in 300 customers."""
    name: dict[str, Any] = {
        "kind": "field",
        "field": "customer.name",
        "op": "equals",
        "value": names[number % len(names)],
    }
    tag = {"kind": "has_tag", "tag_ids": [1 + number * 2]}
    group = {"kind": "in_group", "group_ids": [1 + number % GROUPS]}
    staff = {"kind": "follow", "staff_ids": _some_staff(number)}
    other = {"kind": "in_group", "group_ids": [1 + (number + 1) % GROUPS]}
    trees = (name, {"any": [name, {"all": [tag, staff]}]}, {"all": [other, {"not": tag}, {"not": name}]}, group,
             {"any": [name, {"all": [group, tag]}]})  # fmt: skip
    data = {
        "name": f"rule {number}", "state": RuleState.DRAFT, "condition": trees[number % len(trees)],
        "add_tag_ids": [OWN_TAGS + number], "remove_tag_ids": [], "keep": False,
    }  # fmt: skip
    with transaction():
        rule = saving.create_rule(data, "bench")
        saving.change_rule(rule.id, {"state": RuleState.ACTIVE}, "bench")
        return rule.id


def _some_staff(number: int) -> list[int]:
    """A few members, others for each rule as long as there are enough."""
    ids = list(session().scalars(select(Staff.id).order_by(Staff.id)))
    return [ids[(number * STAFF + n) % len(ids)] for n in range(min(STAFF, max(1, len(ids) // 100)))]


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


def _backfill(rule_ids: list[int]) -> tuple[float, float, int]:
    """Seconds, CPU seconds of this process and its backend, and how many tags were set or taken away."""
    lines = select(func.count()).select_from(TagHistory)
    before = session().scalar(lines) or 0
    backend = _backend()
    worked, began = _worked(backend), time.perf_counter()
    for rule_id in rule_ids:
        _backfill_one(rule_id)
    took, worked = time.perf_counter() - began, _worked(backend) - worked
    session().rollback()
    return took, round(worked, 2), (session().scalar(lines) or 0) - before


def _backend() -> int:
    """The process of the database that serves us; the connection is kept."""
    return int(session().scalar(text("SELECT pg_backend_pid()")) or 0)


def _worked(backend: int) -> float:
    return time.process_time() + _cpu_of(backend)


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


def _rename(customers: int, names: Sequence[str]) -> None:
    """Other names for CHANGED customers, spread over the base; about half of them fit a rule then."""
    step = max(1, customers // CHANGED)
    taken = [*names, *[f"nobody {n}" for n in range(len(names))]]
    values = {"step": step, "last": step * CHANGED, "names": taken}
    with transaction():
        ids = session().scalars(
            text("UPDATE customers SET name = (CAST(:names AS text[]))[1 + (id / :step) % cardinality(CAST(:names AS text[]))] "
                 "WHERE id % :step = 0 AND id <= :last RETURNING id"), values,
        ).all()  # fmt: skip
        every = "INSERT INTO rule_due (customer_id, rule_ids, since) SELECT id, ARRAY(SELECT id FROM rules), now()"
        session().execute(text(f"{every} FROM unnest(CAST(:ids AS bigint[])) id"), {"ids": list(ids)})


def _incremental() -> tuple[float, float, int]:
    """CPU seconds of this process and its backend, wall seconds, customers that waited; every rule looks at each."""
    with transaction():
        waited = session().scalar(select(func.count()).select_from(RuleDue)) or 0
        shards = due_shards()
        backend = _backend()
    worked, began = _worked(backend), time.perf_counter()
    for shard in shards:
        with transaction():
            evaluate_due(shard)
    wall = time.perf_counter() - began
    return _worked(backend) - worked, wall, waited


def _cpu_of(pid: int) -> float:
    """User and system seconds of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


BESIDE = (
    """INSERT INTO customer_groups (chat_id, name, owner_staff_id)
    SELECT 'wr' || n, 'Group ' || n, (SELECT min(id) FROM staff) FROM generate_series(1, :groups) n""",
    """INSERT INTO group_stays (group_id, member_id, member_type, customer_id, joined_at)
    SELECT 1 + (id / 2) % :groups, external_userid, 2, id, now() - interval '3 days' FROM customers WHERE id % 2 = 0""",
    "INSERT INTO tag_groups (id, wecom_id, name) VALUES (:group, 'etg-rules', 'Rules')",
    """INSERT INTO tags (id, wecom_id, group_id, name)
    SELECT :tags + n, 'etr' || n, :group, 'Rule ' || n FROM generate_series(0, :rules - 1) n""",
)
