"""Bringing the copy to the present: what is to be written next, and putting it on the list."""

from __future__ import annotations

import contextlib
import math
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.settings import settings
from tags.columns.queries.missed import Missed
from tags.columns.queries.months import estimated_rows
from tags.columns.service.building import DRAFTS, PREFIXES, build
from tags.columns.service.doubting import MARK, trust
from tags.columns.service.pieces import Part, drafts_of
from tags.columns.service.shelf import LIST, Chunk, Copy, folder, read_copy, write_copy
from tags.columns.service.surveying import Stale, Survey
from tags.columns.service.taking import Taken

FEW = 100  # changed persons that nobody notices
PATIENCE = 10  # times as long rests a part with so few
STRAY = timedelta(hours=1)


def is_wanted() -> bool:
    """Whether there is to be a copy: it is switched on, and there is enough to make it worth while."""
    given = settings().columns
    return given.enabled and estimated_rows() >= given.least_rows


def is_there() -> bool:
    """Whether there is anything of a copy on this machine."""
    return (folder() / LIST).exists() or bool(_ours())


def due_parts(found: Survey) -> list[Part]:
    """What is to be written now: what is not there, then what has missed most.

    Every part rests for as long as writing it took, divided by ``refresh_share``, and ten times as long with few changes:
    but not so long that they are forgotten.
    """
    late = utcnow() - timedelta(minutes=settings().columns.kept_minutes / 2)
    chosen = [
        each.part
        for each in sorted(found.stale, key=_urgency, reverse=True)
        if each.chunk.as_of < late or _has_rested(each)
    ]
    return [*found.absent, *chosen]


def _has_rested(stale: Stale) -> bool:
    chunk, few = stale.chunk, stale.missed is not None and _persons(stale.missed) < FEW
    rest = chunk.seconds / settings().columns.refresh_share * (PATIENCE if few else 1)
    return (folder() / chunk.file).stat().st_mtime + rest <= utcnow().timestamp()


def _urgency(stale: Stale) -> tuple[float, float]:
    """Most changed persons first; of chunks with other types only, the newest first."""
    month = stale.chunk.month
    return _persons(stale.missed), month.toordinal() if month else 0


def _persons(missed: Missed | None) -> float:
    if missed is None:
        return 0
    return float("inf") if missed.persons is None else missed.persons


def put(copy: Copy, part: Part, taken: Taken, place: Path) -> Copy | None:
    """Make a file of what was taken and put it on the list: in place of what was there for the part, if that is all of it.

    :param part: what is to be written; of a large one pieces that were taken before are among the drafts
    :returns: the list; None: meanwhile the database became another one, or the month left the table or came back
    """
    chunk = build(taken, place)
    reached("columns_built")
    if taken.base != copy.base or (taken.month in taken.detached) != (taken.month in copy.detached):
        (folder() / chunk.file).unlink()
        return None
    after = _with(copy, part, chunk)
    write_copy(after)
    for file in _files(copy) - _files(after):
        remove_file(file)
    metrics.COLUMNS_BUILD_SECONDS.inc(chunk.seconds)
    return after


def _with(copy: Copy, part: Part, chunk: Chunk) -> Copy:
    """The list with one file more; drafts of the same part that lead nowhere go."""
    pieces = (*drafts_of(copy, part), chunk)
    drafts = tuple(each for each in copy.drafts if not part.holds(each))
    if chunk.end != part.end:
        return replace(copy, drafts=(*drafts, *pieces))
    others = tuple(each for each in copy.chunks if not part.holds(each))
    return replace(copy, chunks=(*others, *pieces), drafts=drafts)


def _files(copy: Copy) -> set[str]:
    return {each.file for each in (*copy.chunks, *copy.drafts)}


def remove_file(file: str) -> None:
    """Remove a file of the copy, and what was said of it."""
    (folder() / file).unlink(missing_ok=True)
    trust(file)


def forget_files() -> int:
    """Remove the copy: the list first, so that nobody looks for files that are gone; returns how many files went."""
    (folder() / LIST).unlink(missing_ok=True)
    return sum(_remove(path) for path in _ours())


def remove_strays() -> int:
    """Remove what is not on the list and older than an hour: files of a writer who was killed; returns how many."""
    copy = read_copy()
    listed = _files(copy) if copy else set()
    before = (utcnow() - STRAY).timestamp()
    return sum(_remove(path) for path in _ours() if _named(path) not in listed and _written_at(path) < before)


def _ours() -> list[Path]:
    written = [f"{prefix}-*.duckdb{end}" for prefix in PREFIXES.values() for end in ("", MARK)]
    return [path for pattern in (f"{DRAFTS}*", *written, f".{LIST}.*") for path in folder().glob(pattern)]


def _named(path: Path) -> str:
    return path.name.removesuffix(MARK)


def _written_at(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return math.inf  # somebody else was quicker


def _remove(path: Path) -> bool:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return True
