"""Writing tables for people: CSV that Excel reads as UTF-8, and XLSX; rows come and go one by one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from typing import IO, Any

import xlsxwriter

from scrm.kernel.sheets.cells import EXACT_DIGITS, Cell, guarded

BOM = b"\xef\xbb\xbf"  # without it Chinese Excel reads CSV as GBK
PIECE = 64 * 1024
SHEET_ROWS = 1_048_576
CELL_CHARS = 32_767  # what a cell of Excel holds
CUT = "…"
FIRST_YEAR = 1900  # where the days of Excel begin; earlier ones are text
OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
}
FORMATS = {datetime: "yyyy-mm-dd hh:mm:ss", date: "yyyy-mm-dd", time: "hh:mm:ss"}


def write_csv(
    rows: Iterable[Sequence[Cell]], columns: Sequence[str], *, zone: tzinfo = UTC
) -> Iterator[bytes]:
    """A CSV file in pieces: UTF-8 with BOM, commas, CRLF; text that would run as a formula is guarded.

    :param columns: the header
    :param zone: in which aware times are shown
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([guarded(name) for name in columns])
    yield BOM
    for row in rows:
        writer.writerow([_csv_cell(cell, zone) for cell in row])
        if buffer.tell() >= PIECE:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    piece = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return piece


def _csv_cell(cell: Cell, zone: tzinfo) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return guarded(cell)
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, datetime):
        return wall(cell, zone).isoformat(" ", "seconds")
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def wall(moment: datetime, zone: tzinfo) -> datetime:
    """A time as people of ``zone`` read it; one without zone stays as it is."""
    return moment.astimezone(zone).replace(tzinfo=None) if moment.tzinfo else moment


def write_xlsx(
    rows: Iterable[Sequence[Cell]], columns: Sequence[str], file: IO[bytes], *, zone: tzinfo = UTC
) -> None:
    """Write an XLSX file with one row in memory at a time; more rows than a sheet holds go on in further sheets.

    Text is text whatever it looks like (no formula, no link). Numbers of more than 15 digits are written as text, because
    Excel would lose the rest; text of more than 32,767 characters is cut and ends with ``…``.

    :param file: what can be written and sought, such as a temporary file
    """
    with xlsxwriter.Workbook(file, OPTIONS) as book:
        formats = {kind: book.add_format({"num_format": given}) for kind, given in FORMATS.items()}
        bold = book.add_format({"bold": True})
        at, sheet = (
            1,
            _sheet(book, columns, bold),
        )  # before any row: of a sheet without cells a file would be left
        for row in rows:
            if at == SHEET_ROWS:
                at, sheet = 1, _sheet(book, columns, bold)
            for column, cell in enumerate(row):
                _write_cell(sheet, at, column, _xlsx_cell(cell, zone), formats)
            at += 1


def _sheet(book: Any, columns: Sequence[str], bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(columns):
        sheet.write_string(0, column, name[:CELL_CHARS], bold)
    return sheet


def _xlsx_cell(cell: Cell, zone: tzinfo) -> Cell:
    if isinstance(cell, datetime):
        cell = wall(cell, zone)
    if isinstance(cell, date) and cell.year < FIRST_YEAR:
        return str(cell)
    if isinstance(cell, int | Decimal) and not isinstance(cell, bool) and _digits(cell) > EXACT_DIGITS:
        return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)
    if isinstance(cell, str) and len(cell) > CELL_CHARS:
        return cell[: CELL_CHARS - len(CUT)] + CUT
    return cell


def _digits(number: int | Decimal) -> int:
    return len(Decimal(number).as_tuple().digits)


def _write_cell(sheet: Any, row: int, column: int, cell: Cell, formats: dict[type, Any]) -> None:
    if cell is None:
        return
    if isinstance(cell, str):
        sheet.write_string(row, column, cell)
    elif isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, date | time):
        sheet.write_datetime(row, column, cell, formats[type(cell)])
    else:
        sheet.write_number(row, column, cell)
