"""Reading CSV and XLSX as people save them."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime, time
from decimal import Decimal

import pytest
import xlsxwriter

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.archives import check_archive
from scrm.kernel.sheets.limits import Limits
from scrm.kernel.sheets.reading import read_rows, sheet_names

TABLE = "姓名,手机\r\n王芳,13800138000\r\n"
ROWS = [["姓名", "手机"], ["王芳", "13800138000"]]


def rows_of(content: bytes, filename: str = "", **options) -> list:
    return list(read_rows(io.BytesIO(content), filename, **options))


def wall(text: str) -> datetime:
    """A time without zone, as cells of Excel are."""
    return datetime.fromisoformat(text)


def book(write, **options) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, **options}) as made:
        write(made)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_csv_is_read_in_whatever_encoding_it_was_saved(encoding: str) -> None:
    assert rows_of(TABLE.encode(encoding)) == ROWS


def test_a_late_chinese_letter_decides_the_encoding_of_the_whole_file() -> None:
    plain = "a,b\r\n" * 60_000
    assert rows_of((plain + "王,芳\r\n").encode("gb18030"))[-1] == ["王", "芳"]


def test_bytes_of_no_encoding_are_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInput, match="save it as CSV UTF-8"):
        rows_of(b"a,b\r\n\xff\xff\xff\r\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_by_the_rows(delimiter: str) -> None:
    text = f'a{delimiter}b{delimiter}c\n1{delimiter}"x,y;z\t"{delimiter}3\n'
    assert rows_of(text.encode()) == [["a", "b", "c"], ["1", "x,y;z\t", "3"]]


def test_the_delimiter_may_be_named_in_the_first_line_as_excel_is_told() -> None:
    assert rows_of(b"sep=;\r\na,1;b\r\n") == [["a,1", "b"]]


def test_one_column_needs_no_delimiter() -> None:
    assert rows_of(b"phone\n13800138000\n") == [["phone"], ["13800138000"]]


def test_empty_cells_are_none_and_line_breaks_inside_quotes_stay() -> None:
    assert rows_of(b'a,b\n,"x\ny"\n') == [["a", "b"], [None, "x\ny"]]


def test_a_quotation_mark_that_is_not_closed_is_named_by_row() -> None:
    with pytest.raises(InvalidInput, match="row 3"):
        rows_of(b'a,b\n1,2\n3,"4\n5,6\n')


def test_a_nul_far_down_is_named_by_its_row() -> None:
    with pytest.raises(InvalidInput, match="row 20001 holds a NUL character"):
        rows_of(b"abc,def\n" * 20_000 + b"a\0b,c\n")


def test_numbers_of_xlsx_stay_what_people_see() -> None:
    def write(made) -> None:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, [13800138000, 19.9, 0.1 + 0.2, 1e9, -5])
        sheet.write_row(1, 0, ["00123", "123456789012345678", True])

    assert rows_of(book(write)) == [
        [13800138000, Decimal("19.9"), Decimal("0.3"), 1_000_000_000, -5],
        ["00123", "123456789012345678", True, None, None],
    ]
    assert [type(one) for one in rows_of(book(write))[0]] == [int, Decimal, Decimal, int, int]


def test_a_number_of_which_excel_has_lost_digits_is_marked_by_being_a_float() -> None:
    ((number,),) = rows_of(book(lambda made: made.add_worksheet().write_number(0, 0, 123456789012345678)))
    assert isinstance(number, float)


def test_dates_times_errors_and_formulas_of_xlsx() -> None:
    def write(made) -> None:
        sheet = made.add_worksheet()
        day = made.add_format({"num_format": "yyyy-mm-dd"})
        moment = made.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        clock = made.add_format({"num_format": "hh:mm"})
        sheet.write_datetime(0, 0, wall("2024-01-02"), day)
        sheet.write_datetime(0, 1, wall("2024-01-02T03:04"), moment)
        sheet.write_number(0, 2, 0.5, clock)
        sheet.write_formula(0, 3, "=1+1", None, 2)
        sheet.write_formula(0, 4, "=1/0", None, "#DIV/0!")

    assert rows_of(book(write)) == [[date(2024, 1, 2), wall("2024-01-02T03:04"), time(12), 2, None]]


def test_rows_keep_the_numbers_that_people_see_when_the_table_begins_lower() -> None:
    rows = rows_of(book(lambda made: made.add_worksheet().write_string(2, 1, "x")))
    assert len(rows) == 3
    assert rows[2] == ["x"]


def test_hidden_sheets_are_read_only_by_name() -> None:
    def write(made) -> None:
        hidden, shown = made.add_worksheet("秘密"), made.add_worksheet("客户")
        hidden.write_string(0, 0, "secret")
        shown.write_string(0, 0, "name")
        shown.activate()
        hidden.hide()

    content = book(write)
    assert rows_of(content) == [["name"]]
    assert sheet_names(io.BytesIO(content)) == ["客户"]
    assert rows_of(content, sheet="秘密") == [["secret"]]
    with pytest.raises(InvalidInput, match="must be one of 客户"):
        rows_of(content, sheet="nothing")


def test_what_is_no_table_is_refused_with_the_way_out() -> None:
    for content, name, said in [
        (b"", "a.csv", "is empty"),
        (b"\xd0\xcf\x11\xe0rest", "a.xls", "save it as .xlsx"),
        (b"name,phone\n", "a.xlsx", "is none"),
        (b"PK\x03\x04broken", "a.xlsx", "no XLSX file"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            rows_of(content, name)


def test_another_archive_is_no_xlsx() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    with pytest.raises(InvalidInput, match="no XLSX file"):
        rows_of(file.getvalue())


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
        archive.writestr("xl/media/a", b"\0" * 5_000_000)
    with pytest.raises(InvalidInput, match="unpacked"):
        rows_of(file.getvalue(), limits=Limits(unpacked=1_000_000))


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    content = bytearray(book(lambda made: made.add_worksheet().write_string(0, 0, "x" * 5000)))
    names = zipfile.ZipFile(io.BytesIO(bytes(content))).infolist()
    real = next(one.file_size for one in names if one.filename.startswith("xl/worksheets/sheet"))
    at = content.rindex(b"xl/worksheets/sheet1.xml") - 46 + 24  # the size in the central directory
    assert int.from_bytes(content[at : at + 4], "little") == real
    content[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(InvalidInput, match="no XLSX file"):
        rows_of(bytes(content))


def one_text(made) -> None:
    made.add_worksheet().write_string(0, 0, "a")


def changed(content: bytes, change, member: str = "xl/worksheets/sheet1.xml", called: str = "") -> bytes:
    """The same workbook with one of its files changed, or under another name."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            here = name == member
            new.writestr(called or name if here else name, change(old.read(name)) if here else old.read(name))
    return file.getvalue()


def many(xml: bytes, cell: bytes) -> bytes:
    """The sheet with thousands of rows more, one of which has thousands of cells."""
    return xml.replace(b"</row>", b"</row>" + b"<row/>" * 4000 + b"<row>" + cell * 4000 + b"</row>")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda xml: xml[: len(xml) // 2], "cannot be read"),
        (lambda xml: xml.replace(b"<v>0</v>", b"<v>7</v>"), "cannot be read"),
        (lambda xml: xml.decode().encode("utf-16"), "another encoding than UTF-8"),
        (lambda xml: xml.replace(b'r="A1"', b'r="ZZZ1"'), "delete what lies outside"),
        (lambda xml: many(xml, b"<c/>"), "delete what"),
        (lambda xml: xml.replace(b"</row>", b"</row><row>" + b"<c/>" * 201 + b"</row>"), "delete what"),
        (lambda xml: many(xml, b"<c/><!--<row >-->"), "delete what"),
        (lambda xml: many(xml, b"<c s=\" r='A1'\"/>"), "delete what"),
        (lambda xml: many(xml, b"<c><is><row/></is></c>"), "delete what"),
        (lambda xml: many(xml, b"<c/><c"), "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_sheet_is_refused_and_no_error_of_ours(change, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        rows_of(changed(book(one_text), change))


def test_a_sheet_under_any_name_is_looked_at_before_it_is_opened() -> None:
    content = changed(
        book(one_text), lambda xml: xml.replace(b'r="A1"', b'r="ZZ999999"'), called="xl/media/image1.png"
    )
    to = b"media/image1.png"
    moved = changed(
        content, lambda xml: xml.replace(b"worksheets/sheet1.xml", to), "xl/_rels/workbook.xml.rels"
    )
    with pytest.raises(InvalidInput, match="delete what lies outside"):
        rows_of(moved)


def test_a_sheet_whose_cells_have_no_place_is_read_as_any_other() -> None:
    def write(xml: bytes) -> bytes:
        row = b"<row>" + b"<c><v>1</v></c>" * 3 + b"</row>"
        return re.sub(b"<row.*</row>", row * 30_000, xml)  # 1.3 MB: several pieces

    assert rows_of(changed(book(one_text), write)) == [[1, 1, 1]] * 30_000


def test_a_sheet_as_large_as_the_limit_is_no_larger_for_being_looked_at_in_pieces(monkeypatch) -> None:
    def write(made) -> None:
        sheet = made.add_worksheet()
        for row in range(200):
            sheet.write_row(row, 0, range(6))

    content = book(write)
    monkeypatch.setattr("scrm.kernel.sheets.archives.PIECE", 100)  # its ends come at every place of a cell
    check_archive(io.BytesIO(content), Limits(cells=1200))
    with pytest.raises(InvalidInput, match="delete what"):
        check_archive(io.BytesIO(content), Limits(cells=1199))


@pytest.mark.parametrize("named", [b"no-such-encoding", b"GBK"])
def test_a_sheet_that_names_another_encoding_is_read_as_utf_8(named: bytes) -> None:
    def write(xml: bytes) -> bytes:
        return re.sub(b"<row.*</row>", b"<row><c><v>1</v></c></row>", xml.replace(b"UTF-8", named))

    assert rows_of(changed(book(one_text), write)) == [[1]]


def test_what_no_cell_can_hold_is_refused_or_shown_as_it_is_written() -> None:
    def number(made) -> None:
        made.add_worksheet().write_number(0, 0, 7)

    def span(made) -> None:
        made.add_worksheet().write_number(0, 0, 1e9, made.add_format({"num_format": "[h]"}))

    for text, read in [(b"1e999", "inf"), (b"nan", "nan"), (b"-1e999", "-inf")]:
        content = changed(book(number), lambda xml, given=text: xml.replace(b">7<", b">" + given + b"<"))
        assert [[str(cell).lower() for cell in row] for row in rows_of(content)] == [[read]]
        assert isinstance(rows_of(content)[0][0], str)
    nul = changed(book(one_text), lambda xml: xml.replace(b">a<", b">_x0000_<"), "xl/sharedStrings.xml")
    with pytest.raises(InvalidInput, match="row 1 holds a NUL character"):
        rows_of(nul)
    with pytest.raises(InvalidInput, match="999999999 days"):
        rows_of(book(span))


def test_two_cells_in_far_corners_make_no_giant_rectangle() -> None:
    def write(made) -> None:
        sheet = made.add_worksheet()
        sheet.write_string(0, 0, "a")
        sheet.write_string(1_000_000, 150, "z")

    with pytest.raises(InvalidInput, match="delete what lies outside the table"):
        rows_of(book(write))


def test_too_many_rows_and_columns_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than 2 rows"):
        rows_of(b"a\nb\nc\n", limits=Limits(rows=2))
    with pytest.raises(InvalidInput, match="row 2 has more than 2 columns"):
        rows_of(b"a,b\n1,2,3\n", limits=Limits(columns=2))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "is PDF and no table"),
        (b"\xef\xbb\xbf <HTML><table><tr><td>a</td></tr></table>", "is HTML and no table"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is PNG and no table"),
        (b"SQLite format 3\0" + b"plain text\n" * 200, "is no text and no XLSX file"),
    ],
)
def test_what_is_no_table_is_refused_by_its_name(content, told):
    for filename in ("", "members.csv", "members.pdf"):
        with pytest.raises(InvalidInput) as refusal:
            rows_of(content, filename)
        assert told in refusal.value.fields["file"]
