"""Reading CSV, row by row."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.cells import Cell, unguarded
from scrm.kernel.sheets.encodings import encoding_of
from scrm.kernel.sheets.limits import Limits

DELIMITERS = ",;\t"
LOOK_CHARS = 64 * 1024
LOOK_ROWS = 50
NAMED = "sep="  # a first line `sep=;` is how Excel is told


def csv_rows(file: BinaryIO, limits: Limits) -> Iterator[list[Cell]]:
    """Rows of a CSV file; cells are text as written, None where they are empty.

    :raises InvalidInput: no text, an unknown encoding, a quotation mark that is not closed, too many columns; naming the row
    """
    text = io.TextIOWrapper(file, encoding=encoding_of(file), newline="")
    try:
        yield from _rows(text, limits)
    finally:
        text.detach()


def _rows(text: io.TextIOWrapper, limits: Limits) -> Iterator[list[Cell]]:
    _refuse_binary(text)
    delimiter = _delimiter(text)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, 1):
            if len(row) > limits.columns:
                raise InvalidInput.field("file", f"row {number} has more than {limits.columns} columns")
            yield [unguarded(cell) if cell else None for cell in row]
    except csv.Error as error:
        raise InvalidInput.field(
            "file",
            f"row {number + 1} (line {reader.line_num}) cannot be read: {error}; a quotation mark in a cell is doubled",
        ) from None


def _refuse_binary(text: io.TextIOWrapper) -> None:
    """No text holds the character zero, other files soon do; the text then stands at its beginning."""
    if "\0" in text.read(LOOK_CHARS):
        raise InvalidInput.field("file", "is no text and no XLSX file; save the table as XLSX or CSV")
    text.seek(0)


def _delimiter(text: io.TextIOWrapper) -> str:
    """The delimiter; the text then stands where rows begin."""
    first = text.readline()
    named = first.strip()
    if named.lower().startswith(NAMED) and len(named) == len(NAMED) + 1:
        return named[-1]
    sample = first + text.read(LOOK_CHARS)
    text.seek(0)
    return max(DELIMITERS, key=lambda one: _fit(sample, one))


def _fit(sample: str, delimiter: str) -> tuple[int, int]:
    """How well a delimiter fits: rows that are as wide as most, if they have several cells; then how wide."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    widths: Counter[int] = Counter()
    try:
        widths.update(len(row) for row in islice(reader, LOOK_ROWS) if row)
    except csv.Error:
        return 0, 0
    width, rows = widths.most_common(1)[0] if widths else (0, 0)
    return (rows, width) if width > 1 else (0, 0)
