"""Working through the rules' to-do list, a backfill, an undo: each a slice in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, delete, exists, or_, select
from sqlalchemy.orm import aliased

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
from tags.rules.queries.runs import LOOKING, OPEN, WORKING
from tags.rules.service.backfilling import backfill_slice, locked_run
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
from tags.rules.service.slices import apply, finish
from tags.service import Wish, assign

BATCH = 1000


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

    :param limit: customers (or assignments, or lines of history) of the slice

    The cursor moves in the transaction of the slice, so that a killed worker's slice is done again from the start.
    """
    known = session().get(RuleRun, run_id, populate_existing=True)
    if known is None or known.paused_at is not None:
        return False
    if known.state in WORKING and known.kind in LOOKING:
        return backfill_slice(run_id, limit)
    share_in_transaction(ACTIVATION)
    hold_shards(range(SHARDS))
    run = locked_run(run_id)
    if run is None or run.paused_at is not None:
        return False
    if run.state == RunState.UNDOING:
        return _undo_slice(run, limit or BATCH)
    if run.state in WORKING and run.kind == RunKind.RETIRE:
        return _retire_slice(run, limit or BATCH)
    return False


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
    apply(run, [Wish(row.follow_id, row.tag_id, rule.source, add=False, run_id=run.id) for row in rows])
    return _advance(run, (rows[-1].id if rows else run.cursor, len(rows)), limit)


def _advance(run: RuleRun, done: tuple[int, int], limit: int) -> bool:
    """``done``: the last id of the slice and how many it held."""
    last, seen = done
    run.seen += seen
    if seen < limit:
        return finish(run, RunState.DONE)
    run.state, run.cursor = RunState.RUNNING, last
    return True


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
        return finish(run, RunState.UNDONE)
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
