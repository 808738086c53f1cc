"""Reading runs of rules: how far they are, how fast, and how long they will take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from scrm.customers.models import Customer
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from tags.models import Rule, RuleRun, RunKind, RunState

LOOKING = (RunKind.BACKFILL, RunKind.DAILY)
WORKING = (RunState.QUEUED, RunState.RUNNING)
OPEN = (*WORKING, RunState.UNDOING)


def run_page(rule_id: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """Runs of a rule, newest first, of a deleted one too; raises NotFound."""
    if session().get(Rule, rule_id) is None:
        raise NotFound(f"there is no rule {rule_id}")
    page = paginate(select(RuleRun).where(RuleRun.rule_id == rule_id), RuleRun.id, query)
    return {**page, "items": [run_shown(run) for run in page["items"]]}


def run_detail(rule_id: int, run_id: int) -> dict[str, Any]:
    """One run with its progress; raises NotFound."""
    run = session().get(RuleRun, run_id, populate_existing=True)
    if run is None or run.rule_id != rule_id:
        raise NotFound(f"rule {rule_id} has no run {run_id}")
    return run_shown(run)


def run_shown(run: RuleRun) -> dict[str, Any]:
    """A run with ``left`` customers, ``rate`` a second of work, ``seconds_left``; None where there is nothing to say."""
    working = run.kind in LOOKING and run.state in WORKING
    left = session().scalar(_left(run)) if working else None
    rate = run.seen / run.worked_seconds if run.worked_seconds > 0 and run.kind in LOOKING else None
    columns = {column.key: getattr(run, column.key) for column in run.__table__.columns}
    return {
        **columns,
        "paused": run.paused_at is not None and run.state in OPEN,
        "left": left,
        "rate": rate,
        "seconds_left": left / rate if left is not None and rate else None,
    }


def _left(run: RuleRun) -> Any:
    return select(func.count()).select_from(Customer).where(Customer.id > run.cursor)
