"""People at the levers of a run: pause, resume, cancel."""

from __future__ import annotations

from sqlalchemy import select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.events import publish
from tags.events import RuleRunWanted
from tags.models import RuleRun, RunState
from tags.rules.queries.runs import LOOKING, OPEN, WORKING


def pause_run(rule_id: int, run_id: int) -> RuleRun:
    """Let a run rest after its slice; raises Conflict when it is finished."""
    run = _open_run(rule_id, run_id)
    run.paused_at = run.paused_at or utcnow()
    session().flush()
    return run


def resume_run(rule_id: int, run_id: int) -> RuleRun:
    """Let a paused run go on where it stopped; raises Conflict when it is finished."""
    run = _open_run(rule_id, run_id)
    run.paused_at = None
    session().flush()
    publish(RuleRunWanted(run.id))
    return run


def cancel_run(rule_id: int, run_id: int) -> RuleRun:
    """End a backfill for good; what it did stays and can be undone.

    :raises Conflict: it is finished, or it takes a rule's tags away or back, which must not stop half-way
    """
    run = _open_run(rule_id, run_id)
    if run.kind not in LOOKING or run.state not in WORKING:
        raise Conflict(f"run {run_id} is {run.state} ({run.kind}); only a backfill at work can be cancelled")
    run.state, run.finished_at, run.paused_at = RunState.CANCELLED, utcnow(), None
    session().flush()
    return run


def _open_run(rule_id: int, run_id: int) -> RuleRun:
    """Waits for the slice under way: a worker holds the row while it works."""
    picked = select(RuleRun).where(RuleRun.id == run_id, RuleRun.rule_id == rule_id).with_for_update()
    run = session().scalars(picked.execution_options(populate_existing=True)).one_or_none()
    if run is None:
        raise NotFound(f"rule {rule_id} has no run {run_id}")
    if run.state not in OPEN:
        raise Conflict(f"run {run_id} is {run.state}")
    return run
