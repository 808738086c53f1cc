"""Reading a table that people saved: CSV or XLSX, told by its content and not by its name."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import BinaryIO

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.cells import Cell
from scrm.kernel.sheets.delimited import csv_rows
from scrm.kernel.sheets.limits import LIMITS, Limits
from scrm.kernel.sheets.workbooks import open_workbook, visible_sheets, xlsx_rows

ZIP = b"PK\x03\x04"
OLD_EXCEL = b"\xd0\xcf\x11\xe0"  # the container of .xls, and of XLSX with a password

LOOK = 64  # bytes at the beginning
OTHERS = {  # how files begin, in small letters, that could pass for text of one column
    b"%pdf": "PDF", b"{\\rtf": "RTF", b"\x89png": "PNG", b"gif8": "GIF", b"\xff\xd8\xff": "JPEG", b"\x1f\x8b": "gzip",
    b"rar!": "RAR", b"7z\xbc\xaf": "7z", b"<!doctype": "HTML", b"<html": "HTML", b"<?xml": "XML",
}  # fmt: skip


def read_rows(
    file: BinaryIO, filename: str = "", *, sheet: str | None = None, limits: Limits = LIMITS
) -> Iterator[list[Cell]]:
    """Rows of a file that can be read from its beginning, the header first if it has one; empty rows are left out of
    nothing: they come as rows of None, so that row numbers are those that people see.

    :param filename: named in refusals only
    :param sheet: of an XLSX file; its first visible one without
    :raises InvalidInput: before or between rows, saying what is wrong and which row
    """
    rows = xlsx_rows(file, sheet, limits) if is_workbook(file, filename) else csv_rows(file, limits)
    for number, row in enumerate(rows, 1):
        if number > limits.rows:
            raise InvalidInput.field("file", f"has more than {limits.rows} rows; cut it in several")
        if any(isinstance(cell, str) and "\0" in cell for cell in row):
            raise InvalidInput.field(
                "file", f"row {number} holds a NUL character, as no text does; delete it"
            )
        yield row


def sheet_names(file: BinaryIO, filename: str = "", *, limits: Limits = LIMITS) -> list[str]:
    """Names of the visible sheets of an XLSX file; none for CSV."""
    if not is_workbook(file, filename):
        return []
    with open_workbook(file, limits) as book:
        return visible_sheets(book)


def is_workbook(file: BinaryIO, filename: str = "") -> bool:
    """Whether the content is XLSX (else CSV); raises InvalidInput for what is neither."""
    file.seek(0)
    begin = file.read(LOOK)
    start = begin[:4]
    file.seek(0)
    if not start:
        raise InvalidInput.field("file", "is empty")
    if start == OLD_EXCEL:
        raise InvalidInput.field(
            "file", "is an old .xls or has a password; save it as .xlsx without password"
        )
    text = begin.removeprefix(BOM_UTF8).lstrip().lower()
    if other := next((name for mark, name in OTHERS.items() if text.startswith(mark)), None):
        raise InvalidInput.field("file", f"is {other} and no table; save it as XLSX or CSV")
    if start != ZIP and filename.lower().endswith((".xlsx", ".xlsm")):
        raise InvalidInput.field("file", "is called XLSX and is none; open it in Excel and save it again")
    return start == ZIP
