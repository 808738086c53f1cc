"""One sheet of a workbook, row by row: typed cells, numbers exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import IO
from xml.etree.ElementTree import Element

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.cells import EXACT_DIGITS, Cell
from scrm.kernel.sheets.elements import children, local_name
from scrm.kernel.sheets.limits import Limits
from scrm.kernel.sheets.serials import Shown, moment_of, moment_written, span_of
from scrm.kernel.sheets.strings import Strings, plain_text, text_of

DIGITS = "0123456789"
TOO_LONG = 10**EXACT_DIGITS
ROWS = "sheetData"


@dataclass(frozen=True)
class Book:
    """What the cells of all sheets of a workbook refer to.

    :param styles: what a number is shown as, by the style of its cell
    """

    strings: Strings
    styles: Sequence[Shown]
    since_1904: bool


def sheet_rows(content: IO[bytes], book: Book, limits: Limits) -> Iterator[list[Cell]]:
    """Rows by their places: what the sheet leaves out between two comes as an empty list.

    :raises InvalidInput: more rows or columns than the limits, rows that do not stand in order
    """
    reader, above = _Cells(book, limits), 0
    for row in children(content, ROWS):
        if local_name(row) != "row":
            continue
        number = _row_number(row, above, limits)
        for _ in range(above + 1, number):
            yield []
        yield reader.row(row, number)
        above = number


def _row_number(row: Element, above: int, limits: Limits) -> int:
    given = row.get("r", "")
    number = int(given) if given.isdecimal() else above + 1
    if number <= above:
        raise InvalidInput.field("file", f"row {number} stands below row {above}; save it again in Excel")
    if number > limits.rows:
        raise InvalidInput.field(
            "file",
            f"has more than {limits.rows} rows; cut it in several, or delete what lies outside the table",
        )
    return number


class _Cells:
    def __init__(self, book: Book, limits: Limits) -> None:
        self._book, self._most = book, limits.columns
        self._columns: dict[str, int] = {}

    def row(self, row: Element, number: int) -> list[Cell]:
        """The cells of a row from the first column on, to the last that it has."""
        found: list[Cell] = []
        for cell in row:
            place = cell.get("r")
            column = self._column(place) if place else len(found)
            if column >= self._most:
                raise InvalidInput.field(
                    "file",
                    f"row {number} has more than {self._most} columns; delete what lies outside the table",
                )
            while len(found) <= column:
                found.append(None)
            found[column] = self._value(cell)
        return found

    def _column(self, place: str) -> int:
        """0 for A1, 26 for AA1."""
        letters = place.rstrip(DIGITS)
        known = self._columns.get(letters)
        if known is None:
            known = self._columns[letters] = column_number(letters) - 1
        return known

    def _value(self, cell: Element) -> Cell:
        kind, text = cell.get("t"), None
        for child in cell:
            name = child.tag
            if name.endswith("}v") or name == "v":
                text = child.text
            elif kind == "inlineStr" and local_name(child) == "is":
                text = text_of(child)
        if not text:
            return None
        if kind is None or kind == "n":
            return self._number(text, cell.get("s"))
        return self._typed(kind, text)

    def _typed(self, kind: str, text: str) -> Cell:
        if kind == "s":
            return self._book.strings[_whole(text)] or None
        if kind == "b":
            return text.strip() in {"1", "true"}
        if kind == "e":
            return None
        if kind == "d":
            return moment_written(text.strip())
        return plain_text(text) if kind == "str" else text

    def _number(self, text: str, style: str | None) -> Cell:
        shown = self._shown(style) if style else Shown.NUMBER
        if shown is Shown.NUMBER and len(text) <= EXACT_DIGITS and text.isdecimal():
            return int(text)
        try:
            value = float(text)
        except ValueError:
            return plain_text(text)
        if not math.isfinite(value):
            return text
        return exact_cell(self._placed(value, shown))

    def _placed(self, value: float, shown: Shown) -> Cell:
        if shown is Shown.MOMENT:
            return moment_of(value, since_1904=self._book.since_1904)
        return span_of(value) if shown is Shown.SPAN else value

    def _shown(self, style: str) -> Shown:
        number = _whole(style)
        return self._book.styles[number] if number < len(self._book.styles) else Shown.NUMBER


def column_number(letters: str) -> int:
    """1 for A, 27 for AA; raises InvalidInput for what is no name of a column."""
    number = 0
    for letter in letters[:4]:
        number = number * 26 + ord(letter) - ord("A") + 1
    if not letters.isascii() or not letters.isupper():
        raise InvalidInput.field("file", "holds a cell whose place cannot be read; save it again")
    return number


def _whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise InvalidInput.field("file", "holds a reference that cannot be read; save it again")
    return int(text)


def exact_cell(value: Cell) -> Cell:
    """A cell as we keep it: a phone is 13800138000 and not 13800138000.0, a price 19.9 as Excel shows it."""
    if not isinstance(value, float) or abs(value) >= TOO_LONG:
        return value
    return int(value) if value.is_integer() else Decimal(f"{value:.{EXACT_DIGITS}g}")
