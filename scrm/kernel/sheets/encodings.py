"""What a CSV file is written in: UTF-8 with or without BOM, UTF-16, or GB18030 as Chinese Excel saves it."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from scrm.kernel.errors import InvalidInput

PIECE = 1024 * 1024
LOOK = 4096  # bytes that tell UTF-16 without a mark
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(file: BinaryIO) -> str:
    """Name of the encoding of a file that can be read from its beginning; the place in it is at the beginning after.

    UTF-8 is recognised by its own rules (text of another encoding keeps them by no accident); what is no UTF-8 must be
    GB18030 from its first byte to its last.

    :raises InvalidInput: neither
    """
    start = _begin(file).read(LOOK)
    found = next((name for mark, name in MARKS if start.startswith(mark)), None) or _unmarked_utf16(start)
    for name in [found] if found else ["utf-8", "gb18030"]:
        if _decodes(file, name):
            return name
    raise InvalidInput.field(
        "file", "is text in no encoding we know; save it as CSV UTF-8 (CSV UTF-8（逗号分隔）), or as XLSX"
    )


def _begin(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file


def _unmarked_utf16(start: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of plain letters, digits and commas is zero."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) * 4 < len(start) or not start:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _decodes(file: BinaryIO, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    _begin(file)
    try:
        while piece := file.read(PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        _begin(file)
    return True
