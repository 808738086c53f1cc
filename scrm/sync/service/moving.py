"""What a run needs next, and its way from one state to the next when nothing of the present one is left.

reading → comparing → applying → done; on the way it may wait for a person. A dry run compares, counts what applying
would do, undoes it, and is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, select, update
from sqlalchemy.orm import aliased

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.sync.models import AT_WORK, MISSING, PartState, RunState, SyncPart, SyncRun
from scrm.sync.service import guard, staging
from scrm.sync.service.entities import UNAPPLIED, UNCOMPARED
from scrm.sync.service.finishing import tell_rules
from scrm.sync.service.parts import claimable, read_again
from scrm.sync.service.runs import end_done, enter, has_part, locked_run

S = PartState


class Work(StrEnum):
    """What workers do for a run."""

    READ = "read"
    COMPARE = "compare"
    APPLY = "apply"
    CLOSE = "close"


@dataclass(frozen=True)
class Need:
    """The kind of work a run needs now, and the parts it is done on."""

    work: Work
    ready: ColumnElement[bool]


def needs(run: SyncRun) -> list[Need]:
    """Kinds of work that are open, in the order in which they are done."""
    read = Need(Work.READ, SyncPart.state == S.WAITING)
    if run.state is RunState.READING:
        return [read]
    if run.planned_at is None:
        return [read, Need(Work.COMPARE, SyncPart.state == S.READ)]
    apply = Need(Work.APPLY, _appliable(run))
    return [apply] if run.dry_run else [apply, Need(Work.CLOSE, _closable(run))]


def _appliable(run: SyncRun) -> ColumnElement[bool]:
    """Compared parts of the lowest stage that is left, except groups of which too many stays would end."""
    other = aliased(SyncPart)
    lowest = select(func.min(other.stage)).where(
        other.run_id == run.id, other.state == S.COMPARED, ~_is_held(run, other)
    )
    return and_(
        SyncPart.state == S.COMPARED, SyncPart.stage == lowest.scalar_subquery(), ~_is_held(run, SyncPart)
    )


def _is_held(run: SyncRun, part: Any) -> ColumnElement[bool]:
    held = "group_members" in guard.held_entities(run) and not run.dry_run
    stays = exists().where(MISSING.c.part_id == part.id, MISSING.c.entity == "group_members")
    return and_(part.entity == "groups", stays) if held else and_(part.entity == "groups", part.id < 0)


def _closable(run: SyncRun) -> ColumnElement[bool]:
    """Applied parts with something to end that nobody has to be asked about, once nothing is left to apply."""
    other = aliased(SyncPart)
    applying = exists().where(other.run_id == run.id, other.state == S.COMPARED, ~_is_held(run, other))
    gone = exists().where(MISSING.c.part_id == SyncPart.id, MISSING.c.entity.not_in(guard.held_entities(run)))
    return and_(SyncPart.state == S.APPLIED, gone, ~applying)


def work_waits(run: SyncRun) -> Need | None:
    """What a worker could do for the run right now."""
    return next((need for need in needs(run) if claimable(run.id, need.ready)), None)


def move_on(run_id: int) -> bool:
    """Take a run to its next state if nothing of the present one is left; whether it moved. Inside a transaction."""
    run = locked_run(run_id)
    if run.state not in AT_WORK or any(has_part(run, need.ready) for need in needs(run)):
        return False
    if run.state is RunState.READING:
        return _all_read(run)
    if run.planned_at is None:
        _plan(run)
    else:
        _all_applied(run)
    return True


def _all_read(run: SyncRun) -> bool:
    if torn := staging.torn_parts(run.id):
        read_again(torn)
    elif has_part(run, SyncPart.state == S.READ):
        staging.measure()
        _pass_over(run, UNCOMPARED, S.READ, S.COMPARED)
        enter(run, RunState.COMPARING)
    else:
        end_done(run)
    return True


def _pass_over(run: SyncRun, entities: list[str], before: PartState, after: PartState) -> None:
    """Parts of entities with nothing to do in the next state are beyond it at once."""
    session().execute(
        update(SyncPart)
        .where(SyncPart.run_id == run.id, SyncPart.entity.in_(entities), SyncPart.state == before)
        .values(state=after)
        .execution_options(synchronize_session=False)
    )


def _plan(run: SyncRun) -> None:
    """Everything is read and compared: look at what would vanish."""
    run.planned_at, run.guard = utcnow(), guard.look(run)
    _pass_over(run, UNAPPLIED, S.COMPARED, S.APPLIED)
    if not run.dry_run:
        enter(run, RunState.APPLYING)


def _all_applied(run: SyncRun) -> None:
    """Nothing is left that may be done without asking."""
    waits = has_part(run, SyncPart.state == S.COMPARED) or has_part(
        run, SyncPart.state == S.APPLIED, exists().where(MISSING.c.part_id == SyncPart.id)
    )
    if run.dry_run or not waits:
        session().execute(
            update(SyncPart)
            .where(SyncPart.run_id == run.id, SyncPart.state == S.APPLIED)
            .values(state=S.CLOSED)
            .execution_options(synchronize_session=False)
        )
        end_done(run)
    else:
        enter(run, RunState.WAITING_FOR_PERSON)
        tell_rules(run)
        guard.tell(run)
