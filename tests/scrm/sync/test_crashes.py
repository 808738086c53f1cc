"""PostgreSQL crashes in the middle of a run: its UNLOGGED tables begin empty, and that is no empty company."""

import time

import pytest
from sqlalchemy import text

from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.sync import jobs
from scrm.sync.models import RunState
from tests.scrm.sync.conftest import LATER, begin, counts, finish, step_until, sync

PRESENT = {
    "departments": "deleted_at IS NULL", "staff": "left_at IS NULL", "follows": "status = 'active'",
    "tags": "deleted_at IS NULL", "customer_groups": "status = 'normal'", "group_stays": "left_at IS NULL",
    "kf_accounts": "removed_at IS NULL",
}  # fmt: skip


def company(session):
    session.rollback()
    serving = "SELECT count(*) FROM staff WHERE follows_customers"
    found = [
        session.scalar(text(f"SELECT count(*) FROM {table} WHERE {there}"))  # noqa: S608  # constants
        for table, there in PRESENT.items()
    ]
    return [*found, session.scalar(text(serving))]


def crash():
    with transaction() as session:
        session.execute(text("TRUNCATE sync_follows, sync_items, sync_missing"))


@pytest.fixture
def synced(corp, committed):
    sync()
    return company(committed)


def test_what_was_read_and_lost_before_it_was_compared_is_read_again(synced, committed):
    with shifted(LATER):
        run_id = begin()
        step_until(run_id, RunState.COMPARING)
        crash()
        run = finish(run_id)
    assert (run.state, counts(run)) == (RunState.DONE, {})
    assert company(committed) == synced


def test_what_is_lost_between_two_comparisons_is_read_again(synced, committed):
    """Members are compared with the departments: half of them would be all who are left."""
    with shifted(LATER):
        run_id = begin()
        step_until(run_id, RunState.COMPARING)
        jobs_turn(3)
        crash()
        run = finish(run_id)
    assert (run.state, counts(run)) == (RunState.DONE, {})
    assert company(committed) == synced


def test_what_is_lost_while_it_is_written_ends_nothing_and_stands_in_the_report(synced, committed):
    with shifted(LATER):
        run_id = begin()
        step_until(run_id, RunState.APPLYING)
        crash()
        finish(run_id)
    assert company(committed) == synced
    lost = text(
        "SELECT count(*) FROM sync_parts WHERE state = 'failed' AND error LIKE '%crash of PostgreSQL%'"
    )
    assert committed.scalar(lost) > 0


def jobs_turn(times):
    for _ in range(times):
        assert jobs.turn(time.monotonic())
