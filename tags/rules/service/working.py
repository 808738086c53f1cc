"""Working through the rules' to-do list, a backfill, an undo: each a slice in the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.locks import share_in_transaction
from tags.arrays import is_one_of
from tags.models import (
    Rule,
    RuleDue,
    RuleRun,
    RunKind,
    RunState,
    TagAssignment,
    TagChange,
    TagHistory,
    TagSource,
)
from tags.rules.queries.runs import OPEN, WORKING
from tags.rules.service.evaluating import (
    SHARDS,
    Population,
    active_rules,
    differences,
    hold_shards,
    rule_texts,
    shard_of,
)
from tags.rules.service.marking import ACTIVATION
from tags.rules.service.texts import RuleText
from tags.service import Wish, assign

BATCH = 1000
CHANGES = 2000  # that one slice of a backfill is meant to make
WIDEST = 100_000  # customers of a slice: whoever evaluates others waits for it


def due_shards() -> list[int]:
    """Shards of which customers wait."""
    return list(session().scalars(select(shard_of(RuleDue.customer_id)).distinct()))


def evaluate_due(shard: int, limit: int = BATCH) -> int:
    """Evaluate the customers of one shard that wait longest; returns how many rows of the to-do list are done.

    The rows are read after the lock is held and deleted with the outcome, in one transaction: a crash leaves them, and
    what is added meanwhile is evaluated by a later look.
    """
    share_in_transaction(ACTIVATION)
    hold_shards([shard])
    rows = (
        session()
        .execute(
            select(RuleDue.id, RuleDue.customer_id, RuleDue.rule_ids)
            .where(shard_of(RuleDue.customer_id) == shard)
            .order_by(RuleDue.id)
            .limit(limit)
        )
        .all()
    )
    if rows:
        rules = active_rules({rule_id for row in rows for rule_id in row.rule_ids})
        assign(differences(rules, Population.of_ids(sorted({row.customer_id for row in rows}))))
        session().execute(delete(RuleDue).where(is_one_of(RuleDue.id, [row.id for row in rows])))
    return len(rows)


def open_runs() -> list[int]:
    """Runs that are not finished, oldest first."""
    at_work = RuleRun.state.in_(OPEN), RuleRun.paused_at.is_(None)
    return list(session().scalars(select(RuleRun.id).where(*at_work).order_by(RuleRun.id)))


def advance_run(run_id: int, limit: int | None = None) -> bool:
    """Do the next slice of a run; says whether more is left. Another worker's slice is left to it.

    :param limit: customers (or lines of history) of the slice; by default as many as have about 1,000 changes

    The cursor moves in the transaction of the slice, so that a killed worker's slice is done again from the start.
    """
    share_in_transaction(ACTIVATION)
    hold_shards(range(SHARDS))
    picked = select(RuleRun).where(RuleRun.id == run_id).with_for_update(skip_locked=True)
    run = session().scalars(picked.execution_options(populate_existing=True)).one_or_none()
    if run is None or run.paused_at is not None:
        return False
    if run.state == RunState.UNDOING:
        return _undo_slice(run, limit or BATCH)
    if run.state in WORKING:
        if run.kind == RunKind.RETIRE:
            return _retire_slice(run, limit or BATCH)
        began = time.monotonic()
        more = _backfill_slice(run, limit or _width(run))
        run.worked_seconds += time.monotonic() - began
        return more
    return False


def _width(run: RuleRun) -> int:
    """How many customers to look at next: the fewer of them change, the more at once, at most ten times what was seen."""
    if not run.seen:
        return BATCH
    density = (run.added + run.removed + 1) / run.seen
    return max(BATCH, min(int(CHANGES / density), run.seen * 10, WIDEST))


def _backfill_slice(run: RuleRun, limit: int) -> bool:
    rule = next(iter(active_rules([run.rule_id])), None)
    if rule is None or rule.version != run.version:
        return _finish(run, RunState.FAILED, _why_stopped(run, rule))
    ids = select(Customer.id).where(Customer.id > run.cursor).order_by(Customer.id).limit(limit).subquery()
    last, seen = session().execute(select(func.max(ids.c.id), func.count())).one()
    if seen:
        _apply(run, differences([rule], Population.between(run.cursor, last), run.id))
        if not active_rules([run.rule_id]):
            return _finish(run, RunState.FAILED, _why_stopped(run, None))
    return _advance(run, (last, seen), limit)


def _why_stopped(run: RuleRun, rule: RuleText | None) -> str:
    if rule is not None:
        return f"the rule was changed to version {rule.version} meanwhile; start a backfill of that"
    error = session().scalar(select(Rule.error).where(Rule.id == run.rule_id))
    return f"the rule is no longer active{f': {error}' if error else ''}"


def _retire_slice(run: RuleRun, limit: int) -> bool:
    """The rule was deleted: what it set goes, unless it said ``keep``."""
    rule = rule_texts(Rule.id == run.rule_id)[0]
    rows = (
        session()
        .execute(
            select(TagAssignment.id, TagAssignment.follow_id, TagAssignment.tag_id)
            .join(TagSource, TagSource.assignment_id == TagAssignment.id)
            .where(TagSource.source == rule.source, TagAssignment.id > run.cursor)
            .order_by(TagAssignment.id)
            .limit(limit)
        )
        .all()
    )
    _apply(run, [Wish(row.follow_id, row.tag_id, rule.source, add=False, run_id=run.id) for row in rows])
    return _advance(run, (rows[-1].id if rows else run.cursor, len(rows)), limit)


def _apply(run: RuleRun, wishes: Sequence[Wish]) -> None:
    changes = assign(wishes)
    run.added += changes.added
    run.removed += changes.removed


def _advance(run: RuleRun, done: tuple[int, int], limit: int) -> bool:
    """``done``: the last id of the slice and how many it held."""
    last, seen = done
    run.seen += seen
    if seen < limit:
        return _finish(run, RunState.DONE)
    run.state, run.cursor = RunState.RUNNING, last
    return True


def _finish(run: RuleRun, state: RunState, error: str | None = None) -> bool:
    run.state, run.error, run.finished_at = state, error, utcnow()
    return False


def _undo_slice(run: RuleRun, limit: int) -> bool:
    """Take back what the run did, line by line of its history, except where the rule has changed its mind since."""
    rows = session().execute(_own_last_words(run).order_by(TagHistory.id).limit(limit)).all()
    assign(
        [
            Wish(
                row.follow_id,
                row.tag_id,
                row.source,
                add=row.change == TagChange.REMOVED,
                by=f"undo of run {run.id}",
            )
            for row in rows
        ]
    )
    if len(rows) < limit:
        return _finish(run, RunState.UNDONE)
    run.cursor = rows[-1].id
    return True


def _own_last_words(run: RuleRun) -> Any:
    later, said = aliased(TagHistory), (TagChange.ADDED, TagChange.REMOVED)
    changed_since = exists().where(
        later.customer_id == TagHistory.customer_id,
        later.follow_id == TagHistory.follow_id,
        later.tag_id == TagHistory.tag_id,
        later.source == TagHistory.source,
        later.change.in_(said),
        later.id > TagHistory.id,
        or_(later.run_id.is_(None), later.run_id != run.id),
    )
    return select(
        TagHistory.id, TagHistory.follow_id, TagHistory.tag_id, TagHistory.source, TagHistory.change
    ).where(
        and_(
            TagHistory.run_id == run.id,
            TagHistory.id > run.cursor,
            TagHistory.change.in_(said),
            ~changed_since,
        )
    )
