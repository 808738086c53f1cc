"""Reading XLSX: typed cells, numbers exact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import BinaryIO

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.archives import check_archive
from scrm.kernel.sheets.cells import EXACT_DIGITS, Cell
from scrm.kernel.sheets.limits import Limits

TOO_LONG = 10**EXACT_DIGITS
Raw = int | float | str | bool | time | date | datetime | timedelta


def xlsx_rows(file: BinaryIO, sheet: str | None, limits: Limits) -> Iterator[list[Cell]]:
    """Rows of one sheet. Whole numbers are ``int``, others ``Decimal``; numbers of more digits than Excel keeps stay
    ``float``, as a sign that digits are lost.

    Error values (``#DIV/0!``) and formulas that no program has computed are empty. The whole sheet is in memory (about
    100 bytes a cell), rows are made one by one.

    :param sheet: its name; the first visible one without
    :raises InvalidInput: what :func:`check_archive` refuses, a password, no such sheet
    """
    with open_workbook(file, limits) as book:
        names = visible_sheets(book)
        name = sheet if sheet is not None else next(iter(names), None)
        if name is None or name not in book.sheet_names:
            raise InvalidInput.field("sheet", "must be one of " + ", ".join(names))
        yield from _rows(_sheet(book, name))


def _sheet(book: CalamineWorkbook, name: str) -> CalamineSheet:
    try:
        return book.get_sheet_by_name(name)
    except CalamineError as error:
        raise InvalidInput.field(
            "file", f"holds a sheet that cannot be read: {error}; save it again"
        ) from None


def open_workbook(file: BinaryIO, limits: Limits) -> CalamineWorkbook:
    """The workbook, after a look at how large it would become."""
    check_archive(file, limits)
    try:
        return CalamineWorkbook.from_filelike(file)
    except PasswordError:
        raise InvalidInput.field("file", "is protected by a password; save it without") from None
    except CalamineError as error:
        raise InvalidInput.field("file", f"is no XLSX file that can be opened: {error}") from None


def visible_sheets(book: CalamineWorkbook) -> list[str]:
    """Names of the sheets that people see; hidden ones are read only when somebody names them."""
    return [
        one.name
        for one in book.sheets_metadata
        if one.visible == SheetVisibleEnum.Visible and one.typ == SheetTypeEnum.WorkSheet
    ]


def _rows(sheet: CalamineSheet) -> Iterator[list[Cell]]:
    if sheet.start is None:
        return
    try:
        for row in sheet.iter_rows():
            yield [exact_cell(value) for value in row]
    except OverflowError:
        raise InvalidInput.field(
            "file", "holds a duration of more than 999999999 days; format that column as a number"
        ) from None


def exact_cell(value: Raw) -> Cell:
    """A cell as we keep it: a phone is 13800138000 and not 13800138000.0, a price 19.9 as Excel shows it."""
    if isinstance(value, float):
        return _exact_number(value)
    if isinstance(value, timedelta):
        return str(value)
    return None if value == "" else value


def _exact_number(value: float) -> int | float | Decimal | str:
    if not isfinite(value):
        return str(value)
    if abs(value) >= TOO_LONG:
        return value
    return int(value) if value.is_integer() else Decimal(f"{value:.{EXACT_DIGITS}g}")
