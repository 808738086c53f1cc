"""How large a table may be that we read."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What a file may hold; a file that holds more is refused before it is unpacked in memory.

    :param rows: with the header; a sheet of Excel has 1,048,576 at most
    :param columns: of the widest row
    :param cells: rows times columns of a sheet of an XLSX file: the library that reads it keeps the whole rectangle,
        about 100 bytes a cell with its text (measured: 200,000 rows of 6 columns take 120 MB)
    :param unpacked: bytes of everything inside an XLSX file, which is a ZIP archive
    """

    rows: int = 1_048_576
    columns: int = 200
    cells: int = 12_000_000
    unpacked: int = 1024 * MEGABYTE


LIMITS = Limits()
