"""One step of one part: compare, write a slice, end what is gone; and what it came to, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.kernel.leases import RELEASED
from scrm.sync.models import MISSING, PartState, SyncPart, SyncRun
from scrm.sync.service import guard, parts
from scrm.sync.service.applying.done import SLICE, Done
from scrm.sync.service.entities import CLOSINGS, ENTITIES, NAMED_BY_KEY, STAGES
from scrm.sync.service.finishing import touch
from scrm.sync.service.moving import Work
from scrm.sync.service.pages import Asked
from scrm.sync.service.runs import has_app
from scrm.sync.service.tally import merged

AFTER = {Work.COMPARE: PartState.COMPARED, Work.APPLY: PartState.APPLIED}


class Undone(Exception):  # noqa: N818  # raised to undo a transaction, not because something is wrong
    """A dry run has seen what applying would do."""

    def __init__(self, done: Done | None) -> None:
        super().__init__("dry run")
        self.done = done


def is_dry(run_id: int) -> bool:
    """Whether the run only counts."""
    return bool(session().scalar(select(SyncRun.dry_run).where(SyncRun.id == run_id)))


def follow(run_id: int, finished: Sequence[Asked]) -> None:
    """Plan what follows from parts that were read to their end."""
    if not finished:
        return
    run = session().get_one(SyncRun, run_id)
    for asked in finished:
        part = session().get_one(SyncPart, asked.id, populate_existing=True)
        new = ENTITIES[asked.entity].follow(run, part)
        parts.add_parts(run_id, [one for one in new if has_app(one.entity)], STAGES)


def step(asked: Asked, work: Work) -> Done | None:
    """Do one step of a part we hold and note what it came to; None when the lease is gone."""
    part = parts.hold(asked)
    if part is None:
        return None
    session().execute(_PLAN_EACH_TIME)
    run = session().get_one(SyncRun, asked.run_id, populate_existing=True)
    entity = ENTITIES[part.entity]
    if work is Work.CLOSE:
        return _close(run, part)
    done = entity.compare(run, part) if work is Work.COMPARE else entity.apply(run, part)
    if not run.dry_run:
        touch(run.id, done.customer_ids)
    _note(part, work, done)
    return done


_PLAN_EACH_TIME = text("SET LOCAL plan_cache_mode = force_custom_plan")
"""The tables grow under a first sync: a plan kept from when they were empty would read them whole for each slice."""


def record(asked: Asked, work: Work, done: Done) -> None:
    """Note the outcome of a step that was undone."""
    part = parts.hold(asked)
    if part is not None:
        _note(part, work, done)


def _note(part: SyncPart, work: Work, done: Done) -> None:
    parts.add_parts(part.run_id, [one for one in done.parts if has_app(one.entity)], STAGES)
    part.counts = merged(part.counts, done.tally)
    part.applied_pages += done.pages
    if not done.more:
        part.state = AFTER[work]
    _give_back(part)


def _give_back(part: SyncPart) -> None:
    for name, value in RELEASED.items():
        setattr(part, name, value)
    part.attempts, part.next_at, part.error = 0, None, None
    session().flush()


def _close(run: SyncRun, part: SyncPart) -> Done:
    """End a slice of what this part's answers no longer showed, of one entity."""
    held = guard.held_entities(run)
    wanted = select(MISSING.c.entity).where(MISSING.c.part_id == part.id, MISSING.c.entity.not_in(held))
    entity = session().scalar(wanted.order_by(MISSING.c.entity.desc()).limit(1))
    done = Done()
    if entity is not None:
        done = CLOSINGS[entity](run, part, _take(part, entity))
        touch(run.id, done.customer_ids)
        part.counts = merged(part.counts, done.tally)
    _give_back(part)
    return done


def _take(part: SyncPart, entity: str) -> list[Any]:
    """Up to a slice of missing rows, struck from the list: they are ended in this transaction."""
    rows = session().execute(_TAKE, {"part": part.id, "entity": entity, "limit": SLICE}).all()
    return [row.key if entity in NAMED_BY_KEY else row.subject for row in rows]


_TAKE = text("""
DELETE FROM sync_missing WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM sync_missing WHERE part_id = :part AND entity = :entity LIMIT :limit)) RETURNING subject, key
""")
