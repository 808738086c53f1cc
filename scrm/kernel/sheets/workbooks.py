"""Reading XLSX: which sheets a workbook has, and the rows of one of them, in bounded memory.

Excel's own limits are smaller than ours, but one: a sheet has a million rows, and a library that gives it whole keeps
half a gigabyte for it. Here a row is read when somebody asks for it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from xml.etree.ElementTree import Element

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.archives import WORKBOOK, Archive, open_archive
from scrm.kernel.sheets.cells import Cell
from scrm.kernel.sheets.elements import children, local_name
from scrm.kernel.sheets.limits import Limits
from scrm.kernel.sheets.serials import Shown, built_in, format_codes
from scrm.kernel.sheets.strings import Strings, text_of
from scrm.kernel.sheets.worksheets import Book, sheet_rows

RELATIONS = "xl/_rels/workbook.xml.rels"
FOLDER = "xl"


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, whether people see it, and the member of the archive that holds it."""

    name: str
    visible: bool
    part: str


def xlsx_rows(file: BinaryIO, sheet: str | None, limits: Limits) -> Iterator[list[Cell]]:
    """Rows of one sheet, each as long as it goes. Whole numbers are ``int``, others ``Decimal``; numbers of more digits
    than Excel keeps stay ``float``, as a sign that digits are lost.

    Error values (``#DIV/0!``) and formulas that no program has computed are empty.

    :param sheet: its name; the first visible one without
    :raises InvalidInput: no such sheet, damaged, a password, larger than the limits
    """
    with open_archive(file, limits) as archive:
        known = worksheets(archive)
        names = [one.name for one in known if one.visible]
        wanted = sheet if sheet is not None else next(iter(names), None)
        found = next((one for one in known if one.name == wanted), None)
        if found is None:
            raise InvalidInput.field("sheet", "must be one of " + ", ".join(names))
        with _book(archive) as book, archive.open(found.part) as content:
            yield from sheet_rows(content, book, limits)


def visible_sheets(file: BinaryIO, limits: Limits) -> list[str]:
    """Names of the sheets that people see; hidden ones are read only when somebody names them."""
    with open_archive(file, limits) as archive:
        return [one.name for one in worksheets(archive) if one.visible]


def worksheets(archive: Archive) -> list[Sheet]:
    """The sheets that are tables (no charts, no macros), in their order."""
    parts = {id_: target for id_, target, kind in _relations(archive) if kind == "worksheet"}
    found = []
    for element in _children(archive, WORKBOOK, "sheets"):
        id_ = next((value for name, value in element.items() if name.endswith("}id")), "")
        if id_ in parts:
            visible = element.get("state", "visible") == "visible"
            found.append(Sheet(element.get("name", ""), visible, parts[id_]))
    return found


def _relations(archive: Archive) -> Iterator[tuple[str, str, str]]:
    """(id, member of the archive, kind) of what the workbook is made of."""
    for one in _children(archive, RELATIONS):
        target = one.get("Target", "").replace("\\", "/")
        part = target if target.startswith("/") else posixpath.normpath(posixpath.join(FOLDER, target))
        yield one.get("Id", ""), part, one.get("Type", "").rpartition("/")[2]


def _children(archive: Archive, part: str, within: str = "") -> Iterator[Element]:
    with archive.open(part) as content:
        yield from children(content, within)


@contextmanager
def _book(archive: Archive) -> Iterator[Book]:
    parts = {kind: part for _, part, kind in _relations(archive)}
    styles = _styles(archive, parts["styles"]) if parts.get("styles", "") in archive else []
    strings = (
        _strings(archive, parts["sharedStrings"]) if parts.get("sharedStrings", "") in archive else iter(())
    )
    with Strings(strings) as kept:
        yield Book(kept, styles, _since_1904(archive))


def _strings(archive: Archive, part: str) -> Iterator[str]:
    return (text_of(one) for one in _children(archive, part) if local_name(one) == "si")


def _styles(archive: Archive, part: str) -> list[Shown]:
    own = format_codes(_children(archive, part, "numFmts"))
    ids = [
        int(one.get("numFmtId", "0"))
        for one in _children(archive, part, "cellXfs")
        if local_name(one) == "xf"
    ]
    return [own[id_] if id_ in own else built_in(id_) for id_ in ids]


def _since_1904(archive: Archive) -> bool:
    return any(
        local_name(one) == "workbookPr" and one.get("date1904") in {"1", "true"}
        for one in _children(archive, WORKBOOK)
    )
