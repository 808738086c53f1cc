"""Whether an XLSX file is safe to open: it is a ZIP archive of XML, and a small one can hold a great deal.

Everything is unpacked once, a piece at a time and thrown away: what an archive says about itself may be a lie (its
checksums would then be wrong). The places of cells are looked at too: two cells in opposite corners of a sheet make a
rectangle of 17 billion for whoever keeps it whole.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import BinaryIO

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.limits import MEGABYTE, Limits

PIECE = MEGABYTE
OVERLAP = 64  # a place may be cut by the end of a piece
MOST_FILES = 10_000
WORKBOOK = "xl/workbook.xml"
PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]{0,3})(\d{1,7})["']""")
PLAIN_XML = (b"<", b"\xef\xbb\xbf", b"\r", b"\n", b" ", b"\t")


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
    is_sheet = member.filename.startswith("xl/worksheets/") and member.filename.endswith(".xml")
    rows, columns, tail = 0, 0, b""
    with archive.open(member) as content:
        while piece := content.read(PIECE):
            if not is_sheet:
                continue
            if not tail and not piece.startswith(PLAIN_XML):
                raise InvalidInput.field(
                    "file", "holds a sheet in another encoding than UTF-8; save it again"
                )
            places = set(PLACE.findall(tail + piece))
            rows = max([rows, *(int(row) for _, row in places)])
            columns = max([columns, *(column_number(name) for name in {name for name, _ in places})])
            tail = piece[-OVERLAP:]
            if rows > limits.rows or columns > limits.columns or rows * columns > limits.cells:
                raise _too_large(limits)


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
