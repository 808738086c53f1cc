"""One step of an import: each in the caller's transaction, each possible again after a kill.

A run's cursor moves in the transaction that writes the chunk. A dry run writes the same in a transaction that is rolled
back, and notes what it found in the next, unless another worker did so meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from scrm.imports.models import Import, ImportChunk, ImportState
from scrm.imports.service.packing import pack
from scrm.imports.service.repeating import find_repetitions
from scrm.imports.service.slices import Outcome, Work, batch_of, sound, take_chunk
from scrm.imports.service.states import WORKING
from scrm.imports.service.uploading import CHUNK_ROWS
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput

TRIAL_CHUNKS = (
    5  # of one transaction: rows of the same persons see each other, others wait for seconds at most
)
SHOWN = 100  # rows of each kind that are kept to be looked at


@dataclass
class Trial:
    """What a piece of a dry run found.

    :param cursor: the chunk it began with
    """

    import_id: int
    cursor: int
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0


def open_imports() -> list[int]:
    """Imports with work to do, oldest first."""
    return list(session().scalars(select(Import.id).where(Import.state.in_(WORKING)).order_by(Import.id)))


@dataclass(frozen=True)
class Progress:
    """How far an import is: whether a step brought it on is seen by this being another."""

    state: ImportState
    keyed: bool
    undo_dry: bool
    cursor: int

    @property
    def at_work(self) -> bool:
        """Whether there is something to do."""
        return self.state in WORKING


def progress_of(import_id: int) -> Progress | None:
    """How far an import is; None when there is none."""
    columns = Import.state, Import.keyed, Import.undo_dry, Import.cursor
    row = session().execute(select(*columns).where(Import.id == import_id)).one_or_none()
    return None if row is None else Progress(*row)


def taken(import_id: int, state: ImportState) -> Work | None:
    """The import, if it is in this state and no other worker has it; one whose mapping fits no more is put back."""
    statement = select(Import).where(Import.id == import_id, Import.state == state)
    statement = statement.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    made = session().scalars(statement).one_or_none()
    if made is None:
        return None
    try:
        return Work.of(made)
    except InvalidInput as problem:
        told = "; ".join(f"{path}: {text}" for path, text in problem.fields.items())
        made.state, made.error = ImportState.READY, f"the mapping fits no more: {told}"
        return None


def find_keys(import_id: int) -> None:
    """Look through the next chunk for rows that are the same record as one before."""
    work = taken(import_id, ImportState.CHECKING)
    if work is not None and not work.made.keyed:
        began = time.monotonic()
        find_repetitions(work)
        work.made.worked_seconds += time.monotonic() - began
        session().flush()


def try_chunks(import_id: int) -> Trial | None:
    """Do the next chunks of a dry run; the caller rolls back and then calls :func:`keep_trial`."""
    work = taken(import_id, ImportState.CHECKING)
    if work is None or not work.made.keyed:
        return None
    began, trial = time.monotonic(), Trial(import_id, work.made.cursor)
    for number in range(work.made.cursor, min(work.made.cursor + TRIAL_CHUNKS, work.made.chunks)):
        outcome = take_chunk(work, number, trial=True)
        outcome.journal = {}
        trial.outcomes.append(outcome)
    trial.seconds = time.monotonic() - began
    return trial


def keep_trial(trial: Trial) -> None:
    """Note what a piece of a dry run found."""
    made = _locked(trial.import_id, ImportState.CHECKING)
    if made is None or made.cursor != trial.cursor:
        return
    for place, outcome in enumerate(trial.outcomes):
        _note_chunk(made, trial.cursor + place, {"errors": _packed(outcome.errors)})
        made.tally = added(made.tally, outcome)
        made.samples = sampled(made.samples, outcome)
    made.cursor += len(trial.outcomes)
    made.worked_seconds += trial.seconds
    if made.cursor >= made.chunks:
        made.state = ImportState.CHECKED
    session().flush()


def make_room(import_id: int) -> None:
    """What must be committed before the next chunk is written: months of events and timelines."""
    work = taken(import_id, ImportState.RUNNING)
    if work is not None and work.made.cursor < work.made.chunks:
        work.target.make_room(batch_of(work, sound(work, work.made.cursor, Outcome())[0]))


def run_chunk(import_id: int) -> None:
    """Write the next chunk, with its journal, and say what became of it."""
    work = taken(import_id, ImportState.RUNNING)
    if work is None:
        return
    made, began = work.made, time.monotonic()
    if made.cursor < made.chunks:
        outcome = take_chunk(work, made.cursor)
        kept = {"errors": _packed(outcome.errors), "outcome": pack(outcome.subjects)}
        _note_chunk(made, made.cursor, kept | {"journal": _packed(outcome.journal)})
        made.done = added(made.done, outcome)
        made.samples = sampled(made.samples, outcome)
        made.cursor += 1
    if made.cursor >= made.chunks:
        made.state, made.finished_at = ImportState.DONE, utcnow()
    made.worked_seconds += time.monotonic() - began
    session().flush()


def give_up(import_id: int, why: str) -> None:
    """A chunk could not be stored whatever was tried: stop where it is, and say which rows."""
    made = session().get(Import, import_id, with_for_update=True, populate_existing=True)
    if made is not None and made.state in WORKING:
        first = made.cursor * CHUNK_ROWS
        made.error = (
            f"a row between {first + 1} and {first + CHUNK_ROWS} of the table cannot be stored: {why}"
        )
        back = made.state is ImportState.CHECKING
        made.state = ImportState.READY if back else ImportState.CANCELLED
        made.finished_at = utcnow()
        session().flush()


def _locked(import_id: int, state: ImportState) -> Import | None:
    statement = select(Import).where(Import.id == import_id, Import.state == state).with_for_update()
    return session().scalars(statement.execution_options(populate_existing=True)).one_or_none()


def _packed(value: Any) -> bytes | None:
    return pack(value) if value else None


def _note_chunk(made: Import, number: int, values: Mapping[str, Any]) -> None:
    mine = ImportChunk.import_id == made.id, ImportChunk.number == number
    session().execute(
        update(ImportChunk).where(*mine).values(**values).execution_options(synchronize_session=False)
    )


def added(tally: Mapping[str, int], outcome: Outcome) -> dict[str, Any]:
    """A tally with what one more chunk brought."""
    names = {*tally, *outcome.tally}
    return {name: tally.get(name, 0) + outcome.tally.get(name, 0) for name in names}


def sampled(samples: Mapping[str, Sequence[Any]], outcome: Outcome) -> dict[str, Any]:
    """Samples with those of one more chunk, at most SHOWN of each kind."""
    return {
        name: [*samples.get(name, ()), *outcome.samples.get(name, ())][:SHOWN]
        for name in {*samples, *outcome.samples}
    }
