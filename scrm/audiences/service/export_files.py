"""Files of exports: made of the parts that were read, put into the file store, removed when their days are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from os import SEEK_END
from typing import IO

import orjson
from sqlalchemy import select

from scrm.audiences.models import AudienceExport, ExportFormat, ExportPart
from scrm.audiences.queries.export_columns import CellKind, Column, Shown
from scrm.audiences.service.exporting import shown_in
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.kernel.sheets.cells import Cell
from scrm.kernel.sheets.writing import write_csv, write_xlsx
from scrm.media.service.files import file_store

READ: dict[CellKind, Callable[[str], Cell]] = {
    CellKind.TEXT: str,
    CellKind.NUMBER: Decimal,
    CellKind.DATE: date.fromisoformat,
    CellKind.TIME: datetime.fromisoformat,
}


def file_name(export_id: int, format_: ExportFormat) -> str:
    """Where the file of an export lies in the store."""
    return f"exports/{export_id}.{format_}"


def write_file(
    export: AudienceExport, columns: Sequence[Column], parts: Iterable[bytes], file: IO[bytes]
) -> int:
    """Write rows into a file that can be sought; its size in bytes. The same rows give the same file.

    :param columns: those of the export
    :param parts: rows as they were read, one part in memory at a time
    """
    shown = shown_in(export)
    titles = [column.title(export.language) for column in columns]
    rows = _rows(parts, [_reader(column, shown[column.key]) for column in columns])
    zone = settings().corp.zone
    if export.format is ExportFormat.CSV:
        file.writelines(write_csv(rows, titles, zone=zone))
    else:
        write_xlsx(rows, titles, file, zone=zone)
    return file.seek(0, SEEK_END)


def part_after(export_id: int, last_id: int) -> tuple[int, bytes] | None:
    """(customer of its last row, rows) of the part that follows; None: that was the last one."""
    following = (
        select(ExportPart.last_id, ExportPart.rows)
        .where(ExportPart.export_id == export_id, ExportPart.last_id > last_id)
        .order_by(ExportPart.last_id)
        .limit(1)
    )
    found = session().execute(following).one_or_none()
    return (found.last_id, found.rows) if found else None


def keep_file(export_id: int, format_: ExportFormat, file: IO[bytes]) -> None:
    """Put the file into the store; no transaction may be open, because the store may be far away.

    :raises OSError: it could not be kept, or obstore's BaseError
    """
    file_store().put(file_name(export_id, format_), file)


def _reader(column: Column, how: Shown) -> Callable[[str], Cell]:
    return READ[column.kind] if how is Shown.PLAIN else str


def _rows(parts: Iterable[bytes], readers: Sequence[Callable[[str], Cell]]) -> Iterator[list[Cell]]:
    for part in parts:
        for row in orjson.loads(part):
            yield [None if cell is None else read(cell) for read, cell in zip(readers, row, strict=True)]


def remove_file(export_id: int, format_: ExportFormat) -> None:
    """Take the file out of the store; no error when it is gone already."""
    file_store().remove(file_name(export_id, format_))
