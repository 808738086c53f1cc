"""XLSX read row by row: the same cells as another reader finds, in memory that does not grow with the sheet."""

from __future__ import annotations

import io
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.limits import Limits
from scrm.kernel.sheets.reading import read_rows
from scrm.kernel.sheets.serials import Shown, moment_of, shown_as
from scrm.kernel.sheets.strings import BLOCK_STRINGS, BLOCKS, Strings

NUMBERS = [0, 0.5, 1, 45323, 45323.25, 59, 60, 61, 1e7, 12345.678901234567, 1e-7]
FORMATS = [
    "General", "#,##0.00", "0%", "@", "0.00E+00", '0"days"', "[Red]0.00;[Blue]-0.00", "0.00_);(0.00)", "yyyy-mm-dd",
    "yyyy-mm-dd hh:mm:ss", "hh:mm", "[h]:mm", "[mm]:ss", 'yyyy"年"m"月"d"日"', "[$-804]yyyy/m/d;@", "h:mm AM/PM", "mmm-yy",
]  # fmt: skip


def book(write: Callable[[xlsxwriter.Workbook], None], **options) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, **options}) as made:
        write(made)
    return file.getvalue()


def ours(content: bytes, **options) -> list[list]:
    return list(read_rows(io.BytesIO(content), **options))


def theirs(content: bytes) -> list[list]:
    """Cells as python-calamine reads them, a whole sheet at once."""
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0)
    return [[_plain(cell) for cell in row] for row in sheet.iter_rows()]


def _plain(cell):
    if isinstance(cell, timedelta):
        return str(cell)
    return None if cell == "" else cell


def changed(content: bytes, member: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same workbook with one of its files changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == member else old.read(name))
    return file.getvalue()


def one_cell(made: xlsxwriter.Workbook) -> None:
    made.add_worksheet().write_string(0, 0, "a")


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("since_1904", [False, True])
def test_every_cell_is_what_another_reader_finds(since_1904: bool) -> None:
    def write(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet()
        formats = [made.add_format({"num_format": code}) for code in [*FORMATS, *range(50)]]
        for row, style in enumerate(formats):
            for column, number in enumerate(NUMBERS):
                sheet.write_number(row, column, number, style)

    content = book(write, date_1904=since_1904)
    for row, (mine, other) in enumerate(zip(ours(content), theirs(content), strict=True)):
        for one, two in zip(mine, other, strict=True):
            if isinstance(two, float):
                assert float(one) == pytest.approx(two, rel=1e-14), row
            elif not (since_1904 and one == time()):
                assert (type(one), one) == (type(two), two), row


def test_texts_of_every_kind_are_what_another_reader_finds() -> None:
    def write(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["王芳", " lead ", "a\r\nb", "_x000D_", "=1", "'q", "\U0001f600", "\x01"])
        sheet.write_rich_string(1, 0, "a", made.add_format({"bold": True}), "b", "c")
        sheet.write_formula(1, 1, "=A1", None, "text")
        sheet.write_formula(1, 2, "=A1", None, 12)
        sheet.write_formula(1, 3, "=A1", None, "")
        sheet.merge_range(1, 4, 1, 6, "merged")
        sheet.write_boolean(1, 7, True)

    content = book(write)
    assert ours(content) == theirs(content)
    assert ours(book(write, constant_memory=True)) == theirs(book(write, constant_memory=True))


def test_the_strict_kind_of_workbook_and_prefixes_are_read_too() -> None:
    strict = (
        b'<x:worksheet xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:sheetData>'
        b'<x:row><x:c t="d"><x:v>2024-01-31</x:v></x:c><x:c t="d"><x:v>2024-01-31T08:30:00</x:v></x:c>'
        b'<x:c t="inlineStr"><x:is><x:r><x:t>a</x:t></x:r><x:rPh><x:t>A</x:t></x:rPh><x:r><x:t>b</x:t></x:r></x:is></x:c>'
        b"</x:row></x:sheetData></x:worksheet>"
    )
    found = ours(changed(book(one_cell), SHEET, lambda _: strict))
    assert found == [[date(2024, 1, 31), datetime.fromisoformat("2024-01-31T08:30"), "ab"]]


def test_twice_the_rows_need_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrm.kernel.sheets.strings.BLOCKS", 2)  # the texts of both fit into the real number
    small, large = (peak_of_reading(rows) for rows in (3_000, 6_000))
    assert large < small * 1.1


def peak_of_reading(rows: int) -> int:
    """Bytes that Python holds at most while a sheet is read."""

    def write(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet()
        for n in range(rows):
            sheet.write_row(n, 0, [f"顾客{n}", f"{n}@example.com", n])

    content = book(write)
    tracemalloc.start()
    count = sum(1 for _ in read_rows(io.BytesIO(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == rows
    return peak


def test_texts_come_back_by_number_when_there_are_more_than_memory_holds() -> None:
    many = BLOCK_STRINGS * (BLOCKS + 2)
    with Strings(f"text {n}" for n in range(many)) as kept:
        for number in (0, many - 1, BLOCK_STRINGS, BLOCK_STRINGS - 1, 0, many // 2):
            assert kept[number] == f"text {number}"
        with pytest.raises(InvalidInput, match=f"names the text {many}"):
            kept[many]


@pytest.mark.parametrize(
    ("member", "change", "told"),
    [
        (SHEET, lambda xml: xml[: len(xml) // 2], "cannot be opened|can be opened"),
        (SHEET, lambda xml: xml.decode().encode("utf-16"), "another encoding than UTF-8"),
        (SHEET, lambda xml: xml.replace(b"<worksheet", b"<!DOCTYPE x><worksheet", 1), "a document type"),
        (SHEET, lambda xml: xml.replace(b"<v>0</v>", b"<v>7</v>"), "names the text 7"),
        (SHEET, lambda xml: xml.replace(b'r="A1"', b'r="11"'), "place cannot be read"),
        (SHEET, lambda xml: xml.replace(b'r="A1"', b'r="ZZZ1"'), "more than 200 columns"),
        (SHEET, lambda xml: xml.replace(b'<row r="1"', b'<row r="2000000"'), "more than 1048576 rows"),
        (SHEET, lambda xml: xml.replace(b"</row>", b'</row><row r="1"/>'), "row 1 stands below row 1"),
        ("xl/sharedStrings.xml", lambda xml: xml.replace(b">a<", b">" + b"a" * 40_000 + b"<"), "32767 characters"),
        ("xl/_rels/workbook.xml.rels", lambda xml: xml.replace(b"worksheets/", b"nowhere/"), "is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_is_refused_with_the_way_out(member, change, told) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ours(changed(book(one_cell), member, change))
    assert re.search(told, refusal.value.fields["file"])


def test_a_row_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrm.kernel.sheets.elements.PATIENCE", 100_000)
    for where in (b"</row>", b"<sheetData>"):
        content = changed(book(one_cell), SHEET, lambda xml, at=where: xml.replace(at, b"<c/>" * 60_000 + at))
        with pytest.raises(InvalidInput, match="does not end"):
            ours(content)


def test_a_damaged_file_is_refused_though_its_rows_could_be_read() -> None:
    content = bytearray(changed(book(one_cell), SHEET, lambda xml: xml))
    at = content.index(b"</sheetData>") + len(b"</sheetData>") + 1
    content[at : at + 4] = b"abcd"
    with pytest.raises(InvalidInput, match="can be opened"):
        ours(bytes(content))


def test_numbers_that_are_none_stay_what_is_written() -> None:
    def write(xml: bytes) -> bytes:
        cells = b"".join(b"<c><v>" + one + b"</v></c>" for one in (b"1e999", b"nan", b"abc", b"12E2"))
        return re.sub(b"<c .*?</c>", cells, xml)

    assert ours(changed(book(one_cell), SHEET, write)) == [["1e999", "nan", "abc", 1200]]


def test_rows_and_columns_are_limited() -> None:
    content = book(lambda made: made.add_worksheet().write_row(2, 0, [1, 2, 3]))
    with pytest.raises(InvalidInput, match="row 3 has more than 2 columns"):
        ours(content, limits=Limits(columns=2))
    with pytest.raises(InvalidInput, match="more than 2 rows"):
        ours(content, limits=Limits(rows=2))


def test_a_day_that_excel_cannot_show_is_the_number_that_it_holds() -> None:
    assert moment_of(-3.0, since_1904=False) == -3.0
    assert moment_of(3e6, since_1904=False) == 3e6
    assert moment_of(2_958_465.0, since_1904=True) == 2_958_465.0  # 10,003 years


def test_what_a_format_makes_of_a_number() -> None:
    assert shown_as('"day" 0') is Shown.NUMBER
    assert shown_as("[Red]0\\d") is Shown.NUMBER
    assert shown_as("[s].00") is Shown.SPAN
    assert shown_as("[$-F800]dddd, mmmm dd, yyyy") is Shown.MOMENT
