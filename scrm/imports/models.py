"""Imports: a table that somebody uploaded, what its columns mean, and what came of every thousand of its rows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text


class ImportState(StrEnum):
    """Where an import stands."""

    READING = "reading"  # the file is cut into chunks
    READY = "ready"  # columns are known; nothing was tried with the mapping yet
    CHECKING = "checking"  # the dry run
    CHECKED = "checked"  # its report is complete
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"  # what was done so far stays, and can be undone
    UNDOING = "undoing"
    UNDONE = "undone"
    FAILED = "failed"  # the file cannot be read; ``error`` says why


class Import(Model):
    """One uploaded table.

    :cvar cursor: the chunk that comes next in the phase at work
    :cvar tally: rows by what a dry run found (``new``, ``changed``, ``unchanged``, ``error``)
    :cvar done: the same, of the run
    :cvar samples: the first rows of each kind, of the dry run and then of the run
    :cvar base: how many records of the target there were before
    :cvar undo: what the undo (or its dry run) found: ``restored``, ``conflicts``, and the first conflicts
    """

    __tablename__ = "imports"
    __table_args__ = (
        Index("ix_imports_sha256", "sha256"),
        Index(
            "ix_imports_state",
            "state",
            postgresql_where=text("state IN ('reading', 'checking', 'running', 'undoing')"),
        ),
    )

    id: Mapped[Id]
    target: Mapped[str]  # scrm.imports.service.targets.registry
    state: Mapped[ImportState] = mapped_column(enum_text(ImportState))
    filename: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int]  # bytes
    sheet: Mapped[str | None]
    header_row: Mapped[int | None]
    rows: Mapped[int] = mapped_column(server_default=text("0"))  # below the header, empty ones not counted
    chunks: Mapped[int] = mapped_column(server_default=text("0"))
    columns: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))  # [{"name", "filled", "samples"}]
    mapping: Mapped[dict[str, Any] | None]
    source: Mapped[str | None]
    cursor: Mapped[int] = mapped_column(server_default=text("0"))
    keyed: Mapped[bool] = mapped_column(server_default=text("false"))  # repetitions in the file are known
    tally: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    done: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    samples: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    base: Mapped[int] = mapped_column(server_default=text("0"))
    undo: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    undo_dry: Mapped[bool] = mapped_column(server_default=text("false"))  # the undo at work is a dry run
    worked_seconds: Mapped[float] = mapped_column(server_default=text("0"))  # of the phase at work
    error: Mapped[str | None]
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]  # file, rows, errors and journal are deleted


class ImportPiece(Model):
    """A megabyte of an uploaded file that is not cut into chunks yet."""

    __tablename__ = "import_pieces"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class ImportChunk(Model):
    """A thousand rows. Rows, errors, outcome and journal are packed (scrm.imports.service.packing).

    :cvar lead: rows at its beginning that belong to the last record of the chunk before (lines of one order)
    :cvar repeated: what is wrong with rows whose key another row of the file has
    :cvar errors: what is wrong, by row and column
    :cvar outcome: which row became which record, of the run
    :cvar journal: rows of tables before and after, of the run
    """

    __tablename__ = "import_chunks"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    row_count: Mapped[int]
    rows: Mapped[bytes]
    lead: Mapped[int] = mapped_column(server_default=text("0"))
    repeated: Mapped[bytes | None]
    errors: Mapped[bytes | None]
    outcome: Mapped[bytes | None]
    journal: Mapped[bytes | None]


class ImportKey(Model):
    """Where a record's key stands first in a file; kept while the file is looked through for repetitions only."""

    __tablename__ = "import_keys"

    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[int]


class ImportTemplate(Model):
    """A mapping that is used again for the next file of the same kind."""

    __tablename__ = "import_templates"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    target: Mapped[str]
    mapping: Mapped[dict[str, Any]]
    made_by: Mapped[str]
    created_at: Mapped[CreatedAt]
