"""Opening an XLSX file, which is a ZIP archive of XML: what is in it, found by its name, read piece by piece.

A small archive can hold a great deal. Nothing of it is ever read further than it says that it goes, and what it says in
all is limited; a lie about that is told by the checksum.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO
from xml.etree.ElementTree import ParseError

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.limits import MEGABYTE, Limits

MOST_FILES = 10_000
WORKBOOK = "xl/workbook.xml"
ENCRYPTED = 1  # of the flags of a member


class Archive:
    """The members of an open archive, by name; letters may be small or large, as WPS and old writers mix them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {_plain(one.filename): one for one in archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return _plain(name) in self._members

    def open(self, name: str) -> IO[bytes]:
        """A member, to be read from its beginning; raises InvalidInput when it is not there."""
        member = self._members.get(_plain(name))
        if member is None:
            raise InvalidInput.field("file", f"is no whole XLSX file: {name} is missing; save it again")
        return self._archive.open(member)


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


@contextmanager
def open_archive(file: BinaryIO, limits: Limits) -> Iterator[Archive]:
    """An XLSX file; whatever is found wrong with it while it is open is a refusal.

    :raises InvalidInput: no XLSX file, damaged, encrypted, or larger than the limits
    """
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive, limits)
            yield Archive(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ParseError) as error:
        raise InvalidInput.field("file", f"is no XLSX file that can be opened: {error}") from None


def _check(archive: zipfile.ZipFile, limits: Limits) -> None:
    members = archive.infolist()
    if WORKBOOK not in {_plain(one.filename) for one in members}:
        raise InvalidInput.field("file", "is an archive and no XLSX file; save it as XLSX or CSV")
    if any(one.flag_bits & ENCRYPTED for one in members):
        raise InvalidInput.field("file", "is protected by a password; save it without")
    if len(members) > MOST_FILES or sum(one.file_size for one in members) > limits.unpacked:
        raise InvalidInput.field(
            "file",
            f"is larger than {limits.unpacked // MEGABYTE} MB unpacked; delete what lies outside the table,"
            " or save it as CSV",
        )
