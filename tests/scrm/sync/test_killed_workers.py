"""Workers that are killed in the middle of a sync: others go on where they stood, nothing is lost, doubled or ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nursery import nursery
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

WORKER = "worker:background"
QUICK = {"SCRM_SYNC__LEASE_SECONDS": "3", "SCRM_WECOM__READ_TIMEOUT_SECONDS": "3"}
BATCH = "externalcontact/batch/get_by_user"
LIVING = "SELECT count(*) FROM follows WHERE status = 'active'"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Stores, sandbox and clock; the sync begins by itself, because there never was one."""
    with Stack(("clock",), environment=QUICK, limits={"rate_limits_on": False}) as stack:
        stack.control.bulk(members=12, customers_per_member=210, groups_per_member=1, group_size=8)
        yield stack


@pytest.fixture
def fresh(stack: Stack) -> Iterator[Stack]:
    """The same company, of which nothing is known; the pages come slowly."""
    stack.sql("UPDATE sync_runs SET state = 'cancelled' WHERE state IN ('reading', 'comparing', 'applying')")
    for table in ("follows", "customers", "customer_groups", "sync_runs", "staff"):
        stack.sql(f"TRUNCATE {table} CASCADE")
    stack.redis().flushdb()
    stack.control.fault("latency", api=BATCH, seconds=0.1, times=None)
    yield stack
    stack.control.clear_faults()
    if stack.alive(WORKER):
        stack.kill(WORKER)


def begin(stack: Stack) -> None:
    stack.run("sync", "--no-wait")


def pages(stack: Stack) -> int:
    return int(stack.sql("SELECT coalesce(sum(pages), 0) FROM sync_parts WHERE entity = 'customers'")[0][0])


def wait_over(stack: Stack, seconds: float = 120) -> None:
    question = "SELECT state, error FROM sync_runs ORDER BY id DESC LIMIT 1"
    wait_until(lambda: stack.sql(question)[0][0] in {"done", "failed"}, seconds, lambda: str(stack.sql(
        "SELECT r.state, p.entity, p.state, p.attempts, p.lease_until, p.error, now() FROM sync_parts p, sync_runs r")))  # fmt: skip
    assert stack.sql(question)[0][0] == "done"


def check(stack: Stack) -> None:
    truth = stack.control.bulk_counts()
    assert stack.sql(LIVING)[0][0] == truth["relations"]
    assert stack.sql("SELECT count(*) FROM customers")[0][0] == truth["customers"]
    assert stack.sql("SELECT count(*) FROM follows WHERE status <> 'active'")[0][0] == 0
    assert stack.sql("SELECT count(*) FROM effects")[0][0] == 0


def test_a_killed_worker_is_replaced_and_no_finished_page_is_read_again(fresh: Stack) -> None:
    begin(fresh)
    fresh.start(WORKER)
    wait_until(lambda: pages(fresh) >= 6, 60)
    fresh.kill(WORKER)
    held = pages(fresh)
    read = len(fresh.control.log(BATCH, limit=10_000))
    fresh.start(WORKER)
    wait_over(fresh)
    check(fresh)
    every = len(fresh.control.log(BATCH, limit=10_000))
    needed = len(
        {
            str((c["body"]["userid_list"], c["body"].get("cursor")))
            for c in fresh.control.log(BATCH, limit=10_000)
        }
    )
    assert every - needed <= 8, "only calls under way at the kill are made again"
    assert held <= read


@pytest.mark.parametrize(
    "place", ["sync.pages_read", "sync.pages_written", "sync.slice", "sync.slice_written"]
)
def test_killed_at_every_step(fresh: Stack, place: str) -> None:
    begin(fresh)
    fresh.start(WORKER, SCRM_CRASH_AT=place)
    fresh.wait_end(WORKER, 60)
    fresh.start(WORKER)
    wait_over(fresh)
    check(fresh)


def test_two_workers_share_a_run_and_one_dies(fresh: Stack) -> None:
    begin(fresh)
    fresh.start(WORKER)
    other = nursery().spawn(["worker", "background"], fresh.environment(), fresh.log("other"))
    try:
        both = "SELECT count(DISTINCT lease_token) FROM sync_parts WHERE lease_until > now()"
        wait_until(lambda: fresh.sql(both)[0][0] >= 2, 60)
        fresh.kill(WORKER)
        wait_over(fresh)
    finally:
        other.kill()
        other.wait()
    check(fresh)
