"""Whether an XLSX file is safe to open: it is a ZIP archive of XML, and a small one can hold a great deal.

Everything is unpacked once, a piece at a time and thrown away: what an archive says about itself may be a lie (its
checksums would then be wrong). The places of cells are looked at too: two cells in opposite corners of a sheet make a
rectangle of 17 billion for whoever keeps it whole.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.limits import MEGABYTE, Limits

PIECE = MEGABYTE
OVERLAP = 64  # a place may be cut by the end of a piece
MOST_FILES = 10_000
WORKBOOK = "xl/workbook.xml"
PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]{0,3})(\d{1,7})["']""")
ATTRIBUTE = rb"""\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*')"""
LOOSE = re.compile(rb"<(?:\w+:)?c(?=[\s/>])(?!(?:" + ATTRIBUTE + rb")*?\s+r\s*=)")
OTHER_ENCODINGS = tuple("sheetData".encode(name) for name in ("utf-16-le", "utf-16-be"))


def check_archive(file: BinaryIO, limits: Limits) -> None:
    """Unpack everything once without keeping it; the place in the file is at its beginning after.

    :raises InvalidInput: no XLSX file, damaged, encrypted, or larger than the limits
    """
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive, limits)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InvalidInput.field("file", f"is no XLSX file that can be opened: {error}") from None
    finally:
        file.seek(0)


def _check(archive: zipfile.ZipFile, limits: Limits) -> None:
    members = archive.infolist()
    if WORKBOOK not in archive.namelist():
        raise InvalidInput.field("file", "is an archive and no XLSX file; save it as XLSX or CSV")
    if len(members) > MOST_FILES or sum(one.file_size for one in members) > limits.unpacked:
        raise _too_large(limits)
    for member in members:
        _check_member(archive, member, limits)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Limits) -> None:
    """Every member: which of them are sheets is said inside the archive, and may be any."""
    size, tail = Size(), b""
    with archive.open(member) as content:
        while piece := content.read(PIECE):
            if any(mark in tail + piece for mark in OTHER_ENCODINGS):
                raise InvalidInput.field(
                    "file", "holds a sheet in another encoding than UTF-8; save it again"
                )
            size.grow(tail, piece)
            tail = piece[-OVERLAP:]
            if not size.fits(limits):
                raise _too_large(limits)
    if size.loose and size.is_sheet:
        _check_loose(archive, member, size, limits)


@dataclass
class Size:
    """How large a sheet becomes, by the places of its cells.

    :param loose: whether there are cells without a place, which follow one another in their row
    """

    rows: int = 0
    columns: int = 0
    loose: bool = False
    is_sheet: bool = False

    def grow(self, tail: bytes, piece: bytes) -> None:
        """Look at one more piece, and at the end of the one before it: a place may be cut in two."""
        seen = tail + piece
        places = set(PLACE.findall(seen))
        self.rows = max([self.rows, *(int(row) for _, row in places)])
        self.columns = max([self.columns, *(column_number(name) for name in {name for name, _ in places})])
        whole = seen.rfind(b"<")  # the place of the last cell may come with the next piece
        self.loose = self.loose or LOOSE.search(seen, 0, max(whole, 0)) is not None
        self.is_sheet = self.is_sheet or b"sheetData" in seen

    def fits(self, limits: Limits) -> bool:
        """Whether its rectangle is within the limits."""
        if self.rows > limits.rows or self.columns > limits.columns:
            return False
        return self.rows * self.columns <= limits.cells


def _check_loose(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: Size, limits: Limits) -> None:
    """Where cells have no place only their order says how large the sheet becomes: it is read as what it is."""
    order, parser = Order(), expat.ParserCreate("UTF-8", namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = order.begin, order.end
    try:
        with archive.open(member) as content:
            while piece := content.read(PIECE):
                parser.Parse(piece)
                cells = max(size.rows, order.rows) * (size.columns + order.widest)
                if order.widest > limits.columns or order.rows > limits.rows or cells > limits.cells:
                    raise _too_large(limits)
    except expat.ExpatError as error:
        raise InvalidInput.field(
            "file", f"holds a sheet that cannot be read: {error}; save it again"
        ) from None


@dataclass
class Order:
    """Rows, and cells of the widest of them, as they follow one another; what stands inside a cell is none of them."""

    rows: int = 0
    widest: int = 0
    _in_row: int = 0
    _depth: int = 0
    _cell: int = 0

    def begin(self, name: str, _attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._depth += 1
        kind = name.rpartition(" ")[2]
        if self._cell or kind not in ("row", "c"):
            return
        if kind == "row":
            self.rows, self._in_row = self.rows + 1, 0
        else:
            self._in_row, self._cell = self._in_row + 1, self._depth
            self.widest = max(self.widest, self._in_row)

    def end(self, _name: str) -> None:
        """An element is over."""
        if self._depth == self._cell:
            self._cell = 0
        self._depth -= 1


def column_number(name: bytes) -> int:
    """1 for A, 27 for AA; 0 for no name."""
    number = 0
    for letter in name:
        number = number * 26 + letter - ord("A") + 1
    return number


def _too_large(limits: Limits) -> InvalidInput:
    return InvalidInput.field(
        "file",
        f"is larger than {limits.rows} rows, {limits.columns} columns, {limits.cells} cells or"
        f" {limits.unpacked // MEGABYTE} MB unpacked; delete what lies outside the table, or save it as CSV",
    )
