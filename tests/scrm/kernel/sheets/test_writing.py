"""Writing CSV and XLSX: nothing runs as a formula, everything can be read back."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.sheets.cells import guarded, unguarded
from scrm.kernel.sheets.reading import read_rows
from scrm.kernel.sheets.writing import write_csv, write_xlsx
from tests.profiles import examples

ATTACKS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "'=1",
    "\n=cmd|'/c'!A1",
]


def csv_of(rows, columns=("a",), **options) -> bytes:
    return b"".join(write_csv(rows, columns, **options))


def xlsx_of(rows, columns=("a",), **options) -> io.BytesIO:
    file = io.BytesIO()
    write_xlsx(rows, columns, file, **options)
    return file


@pytest.mark.parametrize("text", ATTACKS)
def test_text_that_would_run_as_a_formula_begins_with_an_apostrophe_in_csv(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert b"'" + text[:1].encode() in csv_of([[text]])


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ["王芳", "1-2", "a=b", "'quoted'", "13800138000", ""]:
        assert guarded(text) == text


@given(st.text(alphabet="'=+-@ \t\r\n＝a1", max_size=8))
def test_reading_takes_away_exactly_what_guarding_added(text: str) -> None:
    assert unguarded(guarded(text)) == text


def test_numbers_that_are_numbers_stay_numbers() -> None:
    assert csv_of([[-5], [Decimal("-1.50")]]).splitlines()[1:] == [b"-5", b"-1.50"]


def test_csv_begins_with_the_mark_that_excel_needs_for_chinese() -> None:
    assert csv_of([["王芳"]], ["姓名"]) == b"\xef\xbb\xbf" + "姓名\r\n王芳\r\n".encode()


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=2))
)
@examples(60)
def test_text_that_was_written_is_what_is_read(rows: list[list[str]]) -> None:
    clean = [[cell.replace("\0", "") or "x" for cell in row] for row in rows]
    assert list(read_rows(io.BytesIO(csv_of(clean, ["a", "b"]))))[1:] == clean


def test_xlsx_keeps_types_and_every_digit() -> None:
    day, moment = date(2024, 1, 2), datetime(2024, 1, 1, 20, tzinfo=UTC)
    rows = [["=1+1", 13800138000, 12345678901234567890, Decimal("19.9"), True, day, moment, None]]
    file = xlsx_of(rows, list("abcdefgh"), zone=ZoneInfo("Asia/Shanghai"))
    read = list(read_rows(file))[1]
    assert read == [
        "=1+1",
        13800138000,
        "12345678901234567890",
        Decimal("19.9"),
        True,
        day,
        datetime.fromisoformat("2024-01-02T04:00"),
        None,
    ]


def test_no_cell_of_xlsx_is_a_formula_or_a_link() -> None:
    file = xlsx_of([[text] for text in [*ATTACKS, "http://example.com", "{=1}"]])
    with zipfile.ZipFile(file) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b"<f>" not in sheet
    assert b"hyperlink" not in sheet
    assert [row[0] for row in read_rows(file)][1:4] == ATTACKS[:3]


def test_a_cell_that_is_too_long_for_excel_is_cut_and_says_so() -> None:
    text = list(read_rows(xlsx_of([["x" * 40_000]])))[1][0]
    assert isinstance(text, str)
    assert (len(text), text[-1]) == (32_767, "…")


def test_an_empty_table_has_its_header() -> None:
    assert list(read_rows(xlsx_of([], ["a", "b"]))) == [["a", "b"]]


def test_rows_that_do_not_fit_go_on_in_another_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrm.kernel.sheets.writing.SHEET_ROWS", 3)
    file = xlsx_of([[n] for n in range(5)], ["n"])
    sheets = [list(read_rows(file, sheet=f"Sheet{n}")) for n in (1, 2, 3)]
    assert sheets == [[["n"], [0], [1]], [["n"], [2], [3]], [["n"], [4]]]


def test_days_before_excel_began_to_count_are_text() -> None:
    assert list(read_rows(xlsx_of([[date(1850, 5, 1)]])))[1] == ["1850-05-01"]


def test_writing_needs_no_memory_for_the_rows() -> None:
    rows = ([n, "x" * 50] for n in range(50_000))
    tracemalloc.start()
    size = sum(len(piece) for piece in write_csv(rows, ["n", "x"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 2_500_000
    assert peak < 1_000_000


@pytest.mark.parametrize("before", [[], [["a"]]])
def test_rows_that_cannot_be_read_leave_no_files_behind(tmp_path, monkeypatch, before):
    def rows():
        yield from before
        raise LookupError

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(LookupError):
        write_xlsx(rows(), ["name"], io.BytesIO())
    assert list(tmp_path.iterdir()) == []
