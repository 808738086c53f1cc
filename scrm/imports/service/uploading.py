"""Taking in a file, and cutting it into chunks of a thousand rows."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, BinaryIO, cast

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from scrm.imports.events import ImportWanted
from scrm.imports.models import Import, ImportChunk, ImportPiece, ImportState
from scrm.imports.service.packing import Row, pack_rows
from scrm.imports.service.targets.registry import target_of
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.kernel.sheets.cells import Cell
from scrm.kernel.sheets.limits import MEGABYTE
from scrm.kernel.sheets.reading import is_workbook, read_rows

CHUNK_ROWS = 1000
SAMPLES = 5
NAME_CHARS = 120


@dataclass(frozen=True)
class Upload:
    """A file that somebody gives.

    :param sheet: of a workbook; its first visible one without
    :param header_row: number of the row with the names of the columns; the first that is not empty without
    """

    target: str
    filename: str
    file: BinaryIO
    sheet: str | None = None
    header_row: int | None = None


def keep_upload(upload: Upload, made_by: str) -> Import:
    """Keep a file as it is; a job reads it.

    :raises InvalidInput: empty, too large, no table at all, an unknown target
    """
    target_of(upload.target)
    is_workbook(upload.file, upload.filename)
    name = upload.filename.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter for letter in name if letter.isprintable()).strip()[-NAME_CHARS:]
    made = Import(
        target=upload.target, filename=name or "table", sheet=upload.sheet, header_row=upload.header_row,
        state=ImportState.READING, sha256="", size=0, made_by=made_by, cursor=0,
    )  # fmt: skip
    session().add(made)
    session().flush()
    made.sha256, made.size = _keep_pieces(made.id, upload.file)
    session().flush()
    session().refresh(made)
    publish(ImportWanted(made.id))
    return made


def _keep_pieces(import_id: int, file: BinaryIO) -> tuple[str, int]:
    digest, size, most = hashlib.sha256(), 0, settings().imports.max_megabytes
    file.seek(0)
    for number, piece in enumerate(iter(lambda: file.read(MEGABYTE), b"")):
        digest.update(piece)
        size += len(piece)
        if size > most * MEGABYTE:
            raise InvalidInput.field(
                "file", f"is larger than {most} MB; cut it in several, or save it as XLSX"
            )
        session().execute(insert(ImportPiece).values(import_id=import_id, number=number, content=piece))
    return digest.hexdigest(), size


def read_upload(import_id: int) -> None:
    """Cut a kept file into chunks; what cannot be read fails the import with the reason. Again is harmless."""
    made = session().scalars(
        select(Import).where(Import.id == import_id, Import.state == ImportState.READING).with_for_update(skip_locked=True)
    ).one_or_none()  # fmt: skip
    if made is None:
        return
    session().execute(delete(ImportChunk).where(ImportChunk.import_id == import_id))
    try:
        with session().begin_nested(), _whole(import_id) as file:
            _cut(made, read_rows(cast("BinaryIO", file), made.filename, sheet=made.sheet))
    except InvalidInput as problem:
        session().refresh(made)
        made.state, made.error = ImportState.FAILED, problem.message
    else:
        made.state = ImportState.READY
    session().execute(delete(ImportPiece).where(ImportPiece.import_id == import_id))
    session().flush()


def _whole(import_id: int) -> IO[bytes]:
    """The file again, on disk, deleted when closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    numbers = session().scalars(
        select(ImportPiece.number).where(ImportPiece.import_id == import_id).order_by(ImportPiece.number)
    )
    for number in list(numbers):
        one = select(ImportPiece.content).where(
            ImportPiece.import_id == import_id, ImportPiece.number == number
        )
        file.write(session().scalar(one) or b"")
    file.seek(0)
    return file


def _cut(made: Import, rows: Iterator[list[Cell]]) -> None:
    numbered = ((number, row) for number, row in enumerate(rows, 1) if any(cell is not None for cell in row))
    if made.header_row is not None:
        numbered = (pair for pair in numbered if pair[0] >= (made.header_row or 1))
    header = next(numbered, None)
    if header is None:
        raise InvalidInput.field("file", "holds no rows")
    names = column_names(header[1])
    seen = [Seen(name) for name in names]
    made.rows = made.chunks = 0
    while chunk := list(islice(numbered, CHUNK_ROWS)):
        _look(seen, chunk)
        _keep_chunk(made, chunk)
    made.columns = [{"name": one.name, "filled": one.filled, "samples": one.samples} for one in seen]


def _look(seen: list[Seen], chunk: Sequence[Row]) -> None:
    """What stands in the columns, also in those beyond the last that has a name."""
    widest = max(len(row) for _, row in chunk)
    if widest > len(seen):
        names = column_names([*(one.name for one in seen), *[None] * (widest - len(seen))])
        seen += [Seen(name) for name in names[len(seen) :]]
    for _, row in chunk:
        for column, cell in zip(seen, row, strict=False):
            column.look(cell)


def _keep_chunk(made: Import, chunk: Sequence[Row]) -> None:
    values = {"import_id": made.id, "number": made.chunks, "row_count": len(chunk), "rows": pack_rows(chunk)}
    session().execute(insert(ImportChunk).values(values))
    made.rows += len(chunk)
    made.chunks += 1


def column_names(header: Sequence[Cell]) -> list[str]:
    """Names of columns, each once: nameless ones are called by their place, a second of a name gets a number."""
    names: list[str] = []
    for place, cell in enumerate(header, 1):
        name = str(cell).strip() if cell is not None else f"第{place}列 column {place}"
        again = 2
        while name in names:
            name, again = f"{str(cell).strip()} ({again})", again + 1
        names.append(name)
    return names


class Seen:
    """What stands in one column: how many cells are filled, and the first different values."""

    def __init__(self, name: str) -> None:
        self.name, self.filled = name, 0
        self.samples: list[str] = []

    def look(self, cell: Cell) -> None:
        """Count one cell."""
        if cell is None:
            return
        self.filled += 1
        if len(self.samples) < SAMPLES and (text := str(cell)[:100]) not in self.samples:
            self.samples.append(text)
