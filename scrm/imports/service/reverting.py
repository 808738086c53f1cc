"""The undo of an import, step by step from its last chunk; and its dry run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from scrm.imports.models import Import, ImportState
from scrm.imports.service.packing import unpack
from scrm.imports.service.slices import chunk_of
from scrm.imports.service.states import after_run
from scrm.imports.service.undoing import undo_journal
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session

DRY_CHUNKS = (
    20  # of one transaction that is rolled back: what a later chunk changed again is seen as given back
)
SHOWN = 100  # rows left as they are that are kept to be looked at


@dataclass
class Reverted:
    """What was given back, or would be.

    :param cursor: how many chunks were done before
    :param chunks: how many were done now
    """

    import_id: int
    cursor: int
    chunks: int = 0
    restored: int = 0
    left: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def undo_chunks(import_id: int, *, dry: bool) -> Reverted | None:
    """Give back the next chunks, from the last one; None when there is nothing to do.

    :param dry: of an undo's dry run; the caller rolls back and then calls :func:`keep_reverted`
    """
    statement = select(Import).where(
        Import.id == import_id, Import.state == ImportState.UNDOING, Import.undo_dry == dry
    )
    statement = statement.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    made = session().scalars(statement).one_or_none()
    if made is None:
        return None
    began, done = time.monotonic(), Reverted(import_id, made.cursor)
    for place in range(made.cursor, min(made.cursor + (DRY_CHUNKS if dry else 1), made.chunks)):
        chunk = chunk_of(import_id, made.chunks - 1 - place)
        done.chunks += 1
        if chunk is not None and chunk.journal is not None:
            restored, left = undo_journal(unpack(chunk.journal))
            done.restored += restored
            done.left += left
    done.seconds = time.monotonic() - began
    return done


def keep_reverted(done: Reverted) -> None:
    """Note what was given back; at the end the import is undone, or as it was before a dry run."""
    statement = select(Import).where(Import.id == done.import_id, Import.state == ImportState.UNDOING)
    made = (
        session().scalars(statement.with_for_update().execution_options(populate_existing=True)).one_or_none()
    )
    if made is None or made.cursor != done.cursor:
        return
    before = made.undo or {"restored": 0, "conflicts": 0, "left": []}
    made.undo = {
        "dry_run": made.undo_dry,
        "restored": before["restored"] + done.restored,
        "conflicts": before["conflicts"] + len(done.left),
        "left": [*before["left"], *done.left][:SHOWN],
    }
    made.cursor += done.chunks
    made.worked_seconds += done.seconds
    if made.cursor >= made.chunks:
        made.state = after_run(made) if made.undo_dry else ImportState.UNDONE
        made.finished_at = utcnow()
    session().flush()
