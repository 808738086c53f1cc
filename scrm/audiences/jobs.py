"""What workers do for audiences: a look a day, copies onto lists, exports, and their end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import structlog
from obstore.exceptions import BaseError

from config.queues import Queue
from scrm.audiences.models import AudienceExport
from scrm.audiences.queries.export_columns import chosen_columns
from scrm.audiences.queries.exports import expired_exports, open_exports
from scrm.audiences.queries.fills import open_fills
from scrm.audiences.service import export_files, exporting, filling
from scrm.audiences.service.growth import measure, unmeasured
from scrm.kernel.apart import Apart
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader

RUN_SECONDS = 20.0
BATCH = 100
T = TypeVar("T")
log = structlog.get_logger(__name__)


@job(Queue.BACKGROUND, due=lambda: bool(unmeasured(1)))
def measure_growth() -> None:
    """Look at every audience that was not looked at today, until none is left or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    while waiting := _read(lambda: unmeasured(BATCH)):
        for audience_id in waiting:
            with transaction():
                measure(audience_id)
            if time.monotonic() > stop:
                measure_growth.wake()
                return


@job(Queue.BACKGROUND, due=lambda: bool(open_fills()))
def fill_lists() -> None:
    """Carry on with fills, part by part, until all are done or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    for fill_id in _read(open_fills):
        if not _fill_parts(fill_id, stop):
            fill_lists.wake()
            return


def _fill_parts(fill_id: int, stop: float) -> bool:
    """Put the rest on the list; False: time is over."""
    more = True
    while more:
        if time.monotonic() > stop:
            return False
        with Apart() as part, transaction():  # a defect in one must not hold up those that wait behind it
            more = filling.advance_fill(fill_id)
        if part.error is not None:
            log.error("fill failed", fill_id=fill_id, exc_info=part.error)
            with transaction():
                filling.fail_fill(fill_id, f"defect: {type(part.error).__name__}; workers' logs say more")
            return True
    return True


@job(Queue.BACKGROUND, due=lambda: bool(open_exports()))
def write_exports() -> None:
    """Carry on with exports, part by part, one worker an export, until all are done or 20 s are over."""
    stop = time.monotonic() + RUN_SECONDS
    for export_id in _read(open_exports):
        with leader(_lock_of(export_id)) as lead:
            if lead is None:
                continue
            if not _read_parts(export_id, stop):
                write_exports.wake()
                return
            _put_away(export_id)


def _read_parts(export_id: int, stop: float) -> bool:
    """Read what is left of an export; False: time is over."""
    more = True
    while more:
        if time.monotonic() > stop:
            return False
        with transaction():
            more = exporting.advance_export(export_id)
            reached("export_part")
    return True


def _put_away(export_id: int) -> None:
    """Make the file and keep it; what fails, or is killed on the way, is tried again, but not for ever."""
    export = _read(lambda: exporting.begin_file(export_id))
    if export is None:
        return
    try:
        size = _keep(export)
    except (OSError, BaseError) as error:
        log.warning("export not kept", export_id=export_id, error=type(error).__name__)
        return
    reached("export_kept")
    with transaction():
        exporting.finish_export(export_id, size)


def _keep(export: AudienceExport) -> int:
    """No transaction is open for longer than the reading of one part."""
    columns = _read(lambda: chosen_columns(export.columns))
    with tempfile.TemporaryFile() as file:
        size = export_files.write_file(export, columns, _parts(export.id), file)
        export_files.keep_file(export.id, export.format, file)
    return size


def _parts(export_id: int) -> Iterator[bytes]:
    last = 0
    while part := _read(partial(export_files.part_after, export_id, last)):
        last, rows = part
        yield rows


@job(Queue.BACKGROUND, due=lambda: bool(expired_exports(1)))
def remove_exports() -> None:
    """Remove files whose days are over."""
    for export in _read(lambda: expired_exports(BATCH)):
        with leader(_lock_of(export.id)) as lead:
            if lead is None:
                continue  # deleted while its file is put away: the file goes the next time
            export_files.remove_file(export.id, export.format)
            with transaction():
                exporting.mark_expired(export.id)


def _lock_of(export_id: int) -> str:
    """Who holds it alone works on the export, or on its end."""
    return f"audience-export:{export_id}"


def _read(question: Callable[[], T]) -> T:
    with transaction():  # ends at once, so that no snapshot is held
        return question()
