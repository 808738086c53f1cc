"""What workers do for the copy in columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from config.queues import Queue
from scrm.kernel import metrics
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from tags.columns.models import Trouble
from tags.columns.service import noting, refreshing, troubles
from tags.columns.service.building import drafting
from tags.columns.service.checking import differences
from tags.columns.service.doubting import doubted, fault, trust
from tags.columns.service.pieces import Part, drafts_of, rest_of
from tags.columns.service.shelf import Chunk, Copy, read_copy, write_copy
from tags.columns.service.surveying import Survey, survey
from tags.columns.service.taking import take
from tags.columns.service.troubles import Place

RUN_SECONDS = 20.0  # then others of the queue have their turn
LOCK = "columns"  # one writer in the whole deployment
log = structlog.get_logger(__name__)


def _refreshing_due() -> bool:
    return refreshing.is_wanted() or refreshing.is_there()


def _forgetting_due() -> bool:
    return noting.forgetting_due() if refreshing.is_wanted() else noting.anything_noted()


@job(Queue.BACKGROUND, due=_refreshing_due)
def refresh_columns() -> None:
    """Write what the copy lacks and what has missed most, until nothing is due or 20 s are over."""
    with leader(LOCK) as held:
        if held is not None and not refresh(RUN_SECONDS):
            refresh_columns.wake()


@job(Queue.BACKGROUND, due=_forgetting_due)
def forget_column_changes() -> None:
    """Delete noted changes that no copy needs any more, all of them where there is none; and old troubles."""
    with transaction():
        noting.ensure_base()
        troubles.forget_troubles()
        if refreshing.is_wanted():
            noting.forget_changes()
        else:
            noting.forget_all_changes()


def refresh(seconds: float) -> bool:
    """Bring the copy to the present, for so long at the most; whether that was enough. Only who holds LOCK calls this."""
    with transaction():
        noting.ensure_base()
        wanted = refreshing.is_wanted()
    if not wanted:
        refreshing.forget_files()
        return True
    stop, failed = time.monotonic() + seconds, set[Place]()
    look_at_doubted()
    while True:
        found = look_over()
        with transaction():
            left_alone = failed | troubles.resting().keys()
        parts = [each for each in refreshing.due_parts(found) if each.place not in left_alone]
        if not _written(found.copy, parts, stop, failed):
            return False
        # Once more where something was lacking: without it, months that have no file are known to be empty.
        if not (parts and found.absent):
            refreshing.remove_strays()
            return True


def look_at_doubted() -> None:
    """Read the files that somebody could not read; a spoiled one goes, so that its month is written again."""
    copy = read_copy()
    marked = doubted(copy) if copy else []
    if not marked:
        return
    with transaction():
        rests = troubles.resting()
    due = [each for each in marked if (each.source, each.month) not in rests]
    sound = [each for each in due if not _is_spoiled(each)]
    for each in sound:
        if len(sound) == len(due):  # else a question met the spoiled one, and doubted all that it read
            with transaction():
                troubles.note_trouble((each.source, each.month), Trouble.DOUBTED, "")
        trust(each.file)


def _is_spoiled(chunk: Chunk) -> bool:
    """Whether a file cannot be read; then it is removed. That is noted before, as nobody can see it afterwards."""
    error = fault(chunk.file)
    if error is not None:
        log.warning("a file of the copy was spoiled, and is removed", file=chunk.file, error=error)
        with transaction():
            troubles.note_trouble((chunk.source, chunk.month), Trouble.SPOILED, error)
        refreshing.remove_file(chunk.file)
    return error is not None


def write_everything(tell: Callable[[int, int], None]) -> tuple[int, set[Place]]:
    """Write all that is missing or has changed, whether it has rested or not.

    :param tell: is told how many are done, and of how many
    :returns: how many parts were written, and which could not be
    """
    with transaction():
        noting.ensure_base()
    look_at_doubted()
    failed, done, looked_again = set[Place](), 0, False
    while not looked_again:
        found = look_over()
        parts = [*found.absent, *(each.part for each in found.stale)]
        parts = [each for each in parts if each.place not in failed]
        written, copy = 0, found.copy
        for part, after in _writing(copy, parts, failed):
            copy, written = after, written + (not drafts_of(after, part))
            tell(written, len(parts))
        done += written
        looked_again = not (parts and found.absent)
    return done, failed


def check(chunk: Chunk) -> list[str] | None:
    """The columns of a part that say something else than PostgreSQL; None: too much changed to compare."""
    with one_snapshot():
        wrong = differences(chunk)
    metrics.COLUMNS_DRIFT.inc(bool(wrong))
    return wrong


def look_over() -> Survey:
    """Survey the copy, and put on the list what is right for a later moment without being written again."""
    with one_snapshot():
        found = survey()
    write_copy(found.copy)
    return found


def _written(copy: Copy, parts: list[Part], stop: float, failed: set[Place]) -> bool:
    """Write these parts; whether there was time for all of them. One that cannot be written keeps no other waiting.

    :param failed: gets the parts that could not be written
    """
    waiting = list(parts)
    if waiting and time.monotonic() > stop:
        return False
    for part, after in _writing(copy, parts, failed):
        if not drafts_of(after, part):
            waiting.remove(part)
        if waiting and time.monotonic() > stop:
            return False
    return all(each.place in failed for each in waiting)


def _writing(copy: Copy, parts: list[Part], failed: set[Place]) -> Iterator[tuple[Part, Copy]]:
    """Write parts one after the other, a large one in pieces; after each step the part and the list.

    Ends early when the copy has to be looked over again.

    :param failed: gets the parts that could not be written
    """
    if not parts:
        return
    from duckdb import Error  # takes a fifth of a second, and most of the time there is nothing to write

    for part in parts:
        unfinished = True
        while unfinished:
            try:
                after = write(copy, part)
            except (Error, OSError) as error:
                _not_written(part, error)
                failed.add(part.place)
                break
            if after is None:
                return
            copy, unfinished = after, bool(drafts_of(after, part))
            yield part, copy


def _not_written(part: Part, error: Exception) -> None:
    """The file from which it was to be mended may be spoiled; else the disk may be full, or some row unlike all others."""
    if part.before and _is_spoiled(part.before):
        return
    name = type(error).__name__  # without the message: it may quote rows
    log.warning(
        "a part of the copy could not be written", source=part.source, month=str(part.month), error=name
    )
    with transaction():
        troubles.note_trouble(part.place, Trouble.UNWRITTEN, name)


def write(copy: Copy, part: Part) -> Copy | None:
    """Write one part, or its next piece, from one snapshot; the transaction ends before the file is made.

    Where few persons changed since it was written, only their rows are read from PostgreSQL, the others from the file.

    :returns: the list, with pieces that wait for others among its drafts; None: look the copy over again
    """
    with drafting() as place:
        with one_snapshot():
            taken = take(rest_of(copy, part), place)
        after = refreshing.put(copy, part, taken, place)
    if after:
        with transaction():
            troubles.written(part.place)
    return after


@contextmanager
def one_snapshot() -> Iterator[None]:
    """A transaction in which all questions see the same."""
    with transaction():
        session().connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield
