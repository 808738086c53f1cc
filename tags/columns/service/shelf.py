"""The copy in columns as it lies on disk: a file of DuckDB for each month of a source, and a list of what is right since when.

Files are never changed once they are on the list: a month that changed is written anew under another name, the list is
replaced, and the old file goes. So readers need no lock, and whoever still has an old file open reads on undisturbed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot

FORMAT = 2  # of the files and the list; another one is built anew
LIST = "columns.json"


class Source(StrEnum):
    """A table whose rows are copied."""

    EVENTS = "behaviour_events"
    ORDERS = "orders"
    PEOPLE = "customer_people"


@dataclass(frozen=True)
class Chunk:
    """The rows of one month of a source, in one file.

    :param month: its first day, in UTC, of ``at`` or ``placed_at``; None: all rows (``customer_people``)
    :param file: name in the folder
    :param snapshot: the rows are those that this snapshot shows
    :param as_of: a moment just before the snapshot
    :param seconds: how long making it took
    :param typed: of events: type id → key of every property that has a column, with its type; what is missing here held
        values that do not fit the column and is asked of PostgreSQL. Types without rows in the month are not there
    :param left_out: of events: the same of those properties that held such values
    :param rows: how many events, orders or pairs of person and customer
    :param begin: the first id of the rows in it, of a month in several pieces (tags/columns/service/pieces.py); None: any
    :param end: the first id that is not; None: any
    """

    source: Source
    month: date | None
    file: str
    snapshot: Snapshot
    as_of: datetime
    seconds: float = 0.0
    typed: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    left_out: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    rows: int = 0
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Copy:
    """Everything that is on the list.

    :param base: the database it is of (:class:`tags.columns.models.ColumnBase`)
    :param zone: whose days events have
    :param since: per source of months, a snapshot in which months without a chunk had no rows; a source that is missing has
        months that are still to be copied
    :param detached: months of events that were out of the table then
    :param drafts: pieces of months that are still being written, which nobody asks
    """

    base: str
    zone: str
    since: Mapping[Source, Snapshot]
    detached: frozenset[date]
    chunks: tuple[Chunk, ...]
    drafts: tuple[Chunk, ...] = ()

    def of(self, source: Source) -> list[Chunk]:
        """The chunks of a source, the oldest month first, its pieces in their order."""
        found = [each for each in self.chunks if each.source is source]
        return sorted(found, key=lambda each: (each.month or date.min, each.begin or 0))


def folder() -> Path:
    """Where the files are."""
    given = settings().columns.folder
    return Path(given) if given else settings().var_dir / "columns"


def make_folder() -> Path:
    """The folder, which is made if need be; readable by us alone."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder()


def read_copy() -> Copy | None:
    """What is on the list; None: there is none, or one of another format."""
    try:
        said = orjson.loads((folder() / LIST).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return _copy(said) if said.get("format") == FORMAT else None


def list_mark() -> tuple[int, int] | None:
    """What another list has otherwise: the file and when it was written; None: there is none."""
    try:
        told = (folder() / LIST).stat()
    except FileNotFoundError:
        return None
    return told.st_ino, told.st_mtime_ns


def write_copy(copy: Copy) -> None:
    """Replace the list; the files on it must be there already."""
    make_folder()
    draft = folder() / f".{LIST}.{os.getpid()}"
    draft.write_bytes(orjson.dumps(_said(copy), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    draft.replace(folder() / LIST)


def _said(copy: Copy) -> dict[str, Any]:
    chunks, drafts = ([_said_of(each) for each in some] for some in (copy.chunks, copy.drafts))
    since = {source: str(snapshot) for source, snapshot in copy.since.items()}
    return {
        "format": FORMAT,
        "base": copy.base,
        "zone": copy.zone,
        "since": since,
        "detached": sorted(copy.detached),
        "chunks": chunks,
        "drafts": drafts,
    }


def _said_of(chunk: Chunk) -> dict[str, Any]:
    return {**vars(chunk), "snapshot": str(chunk.snapshot)}


def _copy(said: Mapping[str, Any]) -> Copy:
    return Copy(
        said["base"],
        said["zone"],
        {Source(source): Snapshot.parse(told) for source, told in said["since"].items()},
        frozenset(map(date.fromisoformat, said["detached"])),
        tuple(map(_chunk, said["chunks"])),
        tuple(map(_chunk, said["drafts"])),
    )


def _chunk(said: Mapping[str, Any]) -> Chunk:
    return Chunk(
        Source(said["source"]),
        date.fromisoformat(said["month"]) if said["month"] else None,
        said["file"],
        Snapshot.parse(said["snapshot"]),
        datetime.fromisoformat(said["as_of"]),
        said["seconds"],
        _by_type(said["typed"]),
        _by_type(said["left_out"]),
        said["rows"],
        said["begin"],
        said["end"],
    )


def _by_type(said: Mapping[str, Mapping[str, str]]) -> dict[int, dict[str, str]]:
    return {int(type_id): dict(keys) for type_id, keys in said.items()}
