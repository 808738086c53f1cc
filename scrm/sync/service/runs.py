"""The life of a run: begun by a person or the clock, led from state to state, confirmed, cancelled, finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update

from config.settings import SettingsError
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.kernel.leases import RELEASED
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from scrm.sync.events import SyncWanted
from scrm.sync.models import (
    AT_WORK,
    OPEN,
    PartState,
    RepairTags,
    RunKind,
    RunState,
    SyncPart,
    SyncRun,
)
from scrm.sync.service import staging
from scrm.sync.service.entities import ENTITIES, STAGES
from scrm.sync.service.finishing import settle
from scrm.sync.service.following import CHOICES, first_parts
from scrm.sync.service.mending import mark
from scrm.sync.service.parts import add_parts

LOCK = "sync.run"
OPEN_PARTS = (PartState.WAITING, PartState.READ, PartState.COMPARED, PartState.APPLIED)


@dataclass(frozen=True)
class Wish:
    """What somebody wants synced.

    :param entities: of ``following.CHOICES``; none: all
    :param members: userids, to limit customers and groups to theirs
    """

    by: str
    kind: RunKind = RunKind.MANUAL
    entities: Sequence[str] = ()
    members: Sequence[str] = ()
    dry_run: bool = False
    repair_tags: RepairTags = RepairTags.OURS


def start_run(wish: Wish) -> SyncRun:
    """Begin a run; one that waits for a person makes room, because what it read is old by now.

    It does so for a run that reads all that it read. A dry run, which is to change nothing, takes nobody's place.

    :raises Conflict: while another run is at work; a dry run, or one that reads less, while another waits for a person
    """
    hold_in_transaction(LOCK)
    before = open_run()
    if before is not None and before.state in AT_WORK:
        raise Conflict(f"sync run {before.id} is at work ({before.state}); wait for it, or cancel it")
    if before is not None:
        _check_replaces(wish, before)
        _end(before, RunState.CANCELLED, f"a newer run was started by {wish.by}")
    staging.empty()
    run = SyncRun(
        kind=wish.kind, state=RunState.READING, by=wish.by, entities=_entities(wish), members=list(wish.members),
        dry_run=wish.dry_run, repair_tags=wish.repair_tags, state_at=utcnow(), guard={},
    )  # fmt: skip
    session().add(run)
    session().flush()
    mark(run.id)
    add_parts(run.id, [p for p in first_parts(run) if has_app(p.entity)], STAGES)
    run.expected = session().scalar(_EXPECTED) or 0
    publish(SyncWanted(run.id))
    return run


def _check_replaces(wish: Wish, before: SyncRun) -> None:
    """Raise Conflict unless what ``before`` asks a person about is found out anew."""
    if wish.dry_run:
        lesser = "a dry run"
    elif set(before.entities) - set(_entities(wish)) or not _reads_members(wish, before):
        lesser = "one that reads less"
    else:
        return
    raise Conflict(
        f"sync run {before.id} waits for a person, and {lesser} would take its place; "
        f"`scrm sync confirm {before.id}` or `scrm sync cancel {before.id}` first"
    )


def _reads_members(wish: Wish, before: SyncRun) -> bool:
    return not wish.members or (bool(before.members) and set(before.members) <= set(wish.members))


_EXPECTED = text("""
SELECT (SELECT count(*) FROM follows WHERE status IN ('active', 'deleted_by_customer')) + (SELECT count(*) FROM staff)
  + (SELECT count(*) FROM customer_groups WHERE status = 'normal')
""")


def _entities(wish: Wish) -> list[str]:
    unknown = sorted(set(wish.entities) - set(CHOICES))
    if unknown:
        raise InvalidInput.field(
            "entities", f"has unknown {', '.join(unknown)}; there are {', '.join(CHOICES)}"
        )
    return [name for name in CHOICES if not wish.entities or name in wish.entities]


def has_app(entity: str) -> bool:
    """Whether some app of ours may ask for it at all."""
    try:
        settings().app_for(ENTITIES[entity].feature)
    except SettingsError:
        return False
    return True


def open_run() -> SyncRun | None:
    """The run that is not over, if there is one."""
    wanted = select(SyncRun).where(SyncRun.state.in_(OPEN))
    found: SyncRun | None = session().scalars(wanted.execution_options(populate_existing=True)).one_or_none()
    return found


def locked_run(run_id: int) -> SyncRun:
    """One run, locked; raises NotFound."""
    # Its key stays free: workers who add parts to it, and whom we may have to wait for, look at that.
    wanted = select(SyncRun).where(SyncRun.id == run_id).with_for_update(key_share=True)
    found: SyncRun | None = session().scalars(wanted.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound(f"there is no sync run {run_id}")
    return found


def confirm_run(run_id: int, by: str) -> SyncRun:
    """A person believes what the guard held back: it is ended too.

    :raises Conflict: when the run does not wait for a person
    """
    run = locked_run(run_id)
    if run.state is not RunState.WAITING_FOR_PERSON:
        raise Conflict(f"sync run {run_id} is {run.state}; only one that waits for a person can be confirmed")
    run.confirmed_by, run.confirmed_at = by, utcnow()
    enter(run, RunState.APPLYING)
    publish(SyncWanted(run.id))
    return run


def cancel_run(run_id: int, by: str) -> SyncRun:
    """Stop a run: what it wrote stays, what it would have ended stays too.

    :raises Conflict: when it is over
    """
    run = locked_run(run_id)
    if run.state not in OPEN:
        raise Conflict(f"sync run {run_id} is over ({run.state})")
    _end(run, RunState.CANCELLED, f"cancelled by {by}")
    return run


def enter(run: SyncRun, state: RunState) -> None:
    """Go over to another state."""
    run.state, run.state_at = state, utcnow()


def _end(run: SyncRun, state: RunState, reason: str | None = None) -> None:
    """Close the run for good: no worker writes for it any more; rules hear of what it changed."""
    session().execute(
        update(SyncPart)
        .where(SyncPart.run_id == run.id, SyncPart.state.in_(OPEN_PARTS))
        .values(state=PartState.CANCELLED, **RELEASED)
        .execution_options(synchronize_session=False)
    )
    enter(run, state)
    run.finished_at, run.error = utcnow(), reason
    settle(run)


def end_done(run: SyncRun) -> None:
    """Everything is written; a run of which nothing at all could be read has failed."""
    states = select(func.count(), func.count().filter(SyncPart.state == PartState.FAILED)).where(
        SyncPart.run_id == run.id, SyncPart.state != PartState.SPLIT
    )
    every, failed = session().execute(states).one()
    if every and every == failed:
        _end(run, RunState.FAILED, "nothing could be read; the report names what to do")
    else:
        _end(run, RunState.DONE)


def has_part(run: SyncRun, *conditions: Any) -> bool:
    """Whether the run has such a part."""
    wanted = select(SyncPart.id).where(SyncPart.run_id == run.id, *conditions)
    return bool(session().scalar(select(wanted.exists())))
