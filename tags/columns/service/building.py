"""Making a file of the copy: rows that were taken out of PostgreSQL, typed, sorted by time and laid down in DuckDB."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scrm.kernel.settings import settings
from tags.columns.service.duck import opened, quoted
from tags.columns.service.laying import Laid, lay_events, lay_rows
from tags.columns.service.shelf import Chunk, Source, folder, make_folder
from tags.columns.service.taking import Taken

if TYPE_CHECKING:
    import duckdb

DRAFTS = ".building-"  # begins the name of a folder in which a file is made
LEAST_MEGABYTES = (
    256  # with which a month of 16 million events can be sorted; with a quarter not even one of 2 million
)
PREFIXES = {Source.EVENTS: "events", Source.ORDERS: "orders", Source.PEOPLE: "people"}


@contextmanager
def drafting() -> Iterator[Path]:
    """A folder for what is being made, which is gone afterwards; readable by us alone, as the copy itself."""
    place = Path(tempfile.mkdtemp(prefix=DRAFTS, dir=make_folder()))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def build(taken: Taken, place: Path) -> Chunk:
    """Make the file of what was taken, under a name of its own; it is not on the list yet."""
    month = f"-{taken.month:%Y-%m}" if taken.month else ""
    name = f"{PREFIXES[taken.source]}{month}-{secrets.token_hex(4)}.duckdb"
    draft = place / name
    laid = _lay(taken, draft, place)
    draft.chmod(0o600)
    draft.replace(folder() / name)
    seconds = time.monotonic() - taken.started
    made = Chunk(taken.source, taken.month, name, taken.snapshot, taken.as_of, seconds)
    made = replace(made, begin=taken.part.begin, end=taken.part.end)
    return replace(made, typed=laid.typed, left_out=laid.left_out, rows=laid.rows)


def _lay(taken: Taken, draft: Path, place: Path) -> Laid:
    with writing(place) as duck:
        duck.execute(f"ATTACH {quoted(draft)} AS made")
        if taken.before:
            duck.execute(f"ATTACH {quoted(folder() / taken.before.file)} AS before (READ_ONLY)")
        laid = lay_events(duck, taken) if taken.source is Source.EVENTS else lay_rows(duck, taken)
        duck.execute("CHECKPOINT made")
        duck.execute("DETACH made")
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    return laid


def writing(place: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB that writes, or compares what was written, and spills into ``place``."""
    return opened(max(settings().columns.memory_megabytes, LEAST_MEGABYTES), place / "spilled")
