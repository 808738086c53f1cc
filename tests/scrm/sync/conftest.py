"""A small company at the sandbox WeCom, and a sync of it done here and now."""

import pytest
from sqlalchemy import text

from scrm.kernel.db import transaction
from scrm.sync import jobs
from scrm.sync.models import SyncRun
from scrm.sync.service.runs import Wish, start_run

DOMAIN = (
    "departments", "staff", "staff_departments", "customers", "follows", "tag_groups", "tags", "tag_assignments",
    "tag_sources", "tag_history", "customer_groups", "group_stays", "timeline", "customer_counters", "channel_codes",
    "kf_accounts", "kf_servicers", "effects", "rule_due", "losses", "alerts",
)  # fmt: skip


@pytest.fixture
def corp(committed, sandbox):
    """Four members, forty customers, two tag groups, two customer groups."""
    sandbox.population(members=4, departments=2, customers=40, groups=2, group_size=6)
    return sandbox


def sync(**wish):
    """Begin a run and work on it until it is over or waits for a person; returns it."""
    with transaction():
        run_id = start_run(Wish(by="test", **wish)).id
    return finish(run_id)


def finish(run_id):
    """Work on the open run until nothing can be done."""
    while jobs.work(30):
        pass
    with transaction() as session:
        run = session.get(SyncRun, run_id, populate_existing=True)
        session.expunge(run)
    return run


def versions(session):
    """Every row of every domain table as (table, ctid, xmin): a rewritten row has another."""
    session.rollback()
    found = set()
    for table in DOMAIN:
        rows = session.execute(
            text(f"SELECT '{table}', ctid::text, xmin::text, tableoid::text FROM {table}")  # noqa: S608  # our tables
        ).all()
        found |= {tuple(row) for row in rows}
    session.rollback()
    return found
