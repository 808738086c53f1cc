"""What workers do for imports."""

from __future__ import annotations

import time

import structlog
from psycopg.errors import DeadlockDetected
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from config.queues import Queue
from scrm.imports.models import ImportState
from scrm.imports.service import reverting, working
from scrm.imports.service.forgetting import forget_old, old_imports
from scrm.imports.service.uploading import read_upload
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session, transaction
from scrm.kernel.errors import ScrmError
from scrm.kernel.jobs import job

log = structlog.get_logger(__name__)
RUN_SECONDS = 20.0


class RolledBack(Exception):  # noqa: N818  # no error: what a dry run found leaves its transaction this way
    """Takes what was found out of a transaction that must leave nothing."""

    def __init__(self, found: working.Trial | reverting.Reverted | None) -> None:
        super().__init__("a dry run ends by rolling back")
        self.found = found


@job(Queue.BACKGROUND, due=lambda: bool(working.open_imports()))
def work_on_imports() -> None:
    """Carry imports on, a thousand rows at a time, until all are done or 20 s are over."""
    until = time.monotonic() + RUN_SECONDS
    for import_id in _open():
        while step(import_id):
            if time.monotonic() > until:
                work_on_imports.wake()
                return


@job(Queue.BACKGROUND)
def forget_imports() -> None:
    """Delete the files of imports whose days are over."""
    with transaction():
        old = old_imports()
    for import_id in old:
        with transaction():
            forget_old(import_id)


def step(import_id: int) -> bool:
    """The next piece of work of one import; whether there is more.

    What is refused whatever is tried stops the import with a word about where, instead of being tried for ever.
    """
    with transaction():
        before = working.progress_of(import_id)
    try:
        _work(import_id, before)
    except (DataError, IntegrityError, ProgrammingError) as error:
        with transaction():
            working.give_up(import_id, f"the database refuses it: {type(error).__name__}")
    except OperationalError as error:
        if not isinstance(error.orig, DeadlockDetected):
            raise
        return True  # others wrote the same persons; nothing was written here, and the next try finds theirs
    except ScrmError as error:  # a list was archived meanwhile
        with transaction():
            working.give_up(import_id, error.message)
    reached("import_step_done")
    with transaction():
        after = working.progress_of(import_id)
    if after is not None and before is not None and after.state is not before.state:
        log.info("import", import_id=import_id, state=after.state.value)
    return after is not None and after.at_work and after != before


def _work(import_id: int, now: working.Progress | None) -> None:
    if now is None:
        return
    if now.state is ImportState.READING:
        with transaction():
            read_upload(import_id)
    elif now.state is ImportState.CHECKING:
        _try(import_id, keyed=now.keyed)
    elif now.state is ImportState.RUNNING:
        with transaction():
            working.make_room(import_id)
        with transaction():
            working.run_chunk(import_id)
            reached("import_chunk")
    elif now.state is ImportState.UNDOING:
        _undo(import_id, dry=now.undo_dry)


def _try(import_id: int, *, keyed: bool) -> None:
    if not keyed:
        with transaction():
            working.find_keys(import_id)
        return
    found: working.Trial | reverting.Reverted | None = None
    try:
        with transaction():
            raise RolledBack(working.try_chunks(import_id))
    except RolledBack as end:
        found = end.found
    if isinstance(found, working.Trial):
        with transaction():
            working.keep_trial(found)


def _undo(import_id: int, *, dry: bool) -> None:
    found: working.Trial | reverting.Reverted | None = None
    if not dry:
        with transaction():
            done = reverting.undo_chunks(import_id, dry=False)
            if done is not None:
                reverting.keep_reverted(done)
        return
    try:
        with transaction():
            raise RolledBack(reverting.undo_chunks(import_id, dry=True))
    except RolledBack as end:
        found = end.found
    if isinstance(found, reverting.Reverted):
        with transaction():
            reverting.keep_reverted(found)


def _open() -> list[int]:
    with transaction():  # ends at once, so that no snapshot is held
        return working.open_imports()


def work_until_rest(import_id: int) -> None:
    """Do everything that one import has to do now (commands and tests); others' work is left to workers."""
    while step(import_id):
        session().expire_all()
