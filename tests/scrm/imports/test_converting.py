"""Cells as people write them, and what fields take."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from scrm.imports.service.converting import Kind, Reading, convert

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        (13800138000, Kind.TEXT, "13800138000"),
        (Decimal("19.90"), Kind.TEXT, "19.90"),
        ("  x ", Kind.TEXT, "x"),
        (True, Kind.TEXT, "TRUE"),
        ("", Kind.TEXT, None),
        ("  ", Kind.AMOUNT, None),
        ("¥1,234.50", Kind.AMOUNT, "1234.50"),
        (Decimal("1E+2"), Kind.AMOUNT, "100"),
        (3, Kind.NUMBER, 3),
        ("2.5", Kind.NUMBER, 2.5),
        ("7.0", Kind.INTEGER, 7),
        ("是", Kind.TRUTH, True),
        ("N", Kind.TRUTH, False),
        ("a、b；c", Kind.LIST, ["a", "b", "c"]),
        ("2024/1/2", Kind.DAY, "2024-01-02"),
        ("2024年1月2日", Kind.DAY, "2024-01-02"),
        ("20240102", Kind.DAY, "2024-01-02"),
        (20240102, Kind.DAY, "2024-01-02"),
        (date(2024, 1, 2), Kind.DAY, "2024-01-02"),
        ("2024-01-02 8:05", Kind.MOMENT, "2024-01-02T08:05:00+08:00"),
        ("2024-01-02T08:05:00Z", Kind.MOMENT, "2024-01-02T08:05:00+00:00"),
        (datetime.fromisoformat("2024-01-02T08:05"), Kind.MOMENT, "2024-01-02T08:05:00+08:00"),
        ("2024.1.2", Kind.MOMENT, "2024-01-02T00:00:00+08:00"),
    ],
)
def test_what_is_written_is_what_is_meant(cell, kind, value):
    assert convert(cell, Reading(kind, zone=ZONE)) == value


@pytest.mark.parametrize(
    ("cell", "kind", "said"),
    [
        (1.38e17, Kind.TEXT, "15 digits"),
        ("1.38E+10", Kind.TEXT, "shortened"),
        ("abc", Kind.AMOUNT, "1,234.50"),
        ("1_000", Kind.AMOUNT, "1,234.50"),
        ("1e99999999", Kind.AMOUNT, "1,234.50"),
        ("1e999999999", Kind.INTEGER, "1,234.50"),  # held a worker for ever: so many digits
        ("-1E999999999", Kind.NUMBER, "1,234.50"),
        ("1e-999999999", Kind.NUMBER, "1,234.50"),
        ("2.5", Kind.INTEGER, "whole"),
        ("maybe", Kind.TRUTH, "是"),
        ("17.5.90", Kind.DAY, "date_format"),
        ("2024-02-30", Kind.DAY, "2024-01-31"),
        (45292, Kind.DAY, "format the column as a date"),
        ("2024-01-02 25:00", Kind.MOMENT, "13:05"),
    ],
)
def test_what_cannot_be_meant_says_what_would_be_right(cell, kind, said):
    with pytest.raises(ValueError, match=said):
        convert(cell, Reading(kind, zone=ZONE))


def test_a_mapping_may_say_how_days_numbers_and_words_are_written():
    assert convert("31/01/2024", Reading(Kind.DAY, date_format="%d/%m/%Y")) == "2024-01-31"
    assert convert("31.01.24 18:30", Reading(Kind.MOMENT, date_format="%d.%m.%y %H:%M", zone=ZONE)) == (
        "2024-01-31T18:30:00+08:00"
    )
    with pytest.raises(ValueError, match="%d/%m/%Y"):
        convert("2024-01-31", Reading(Kind.DAY, date_format="%d/%m/%Y"))
    assert convert("1.234,50", Reading(Kind.AMOUNT, decimal_comma=True)) == "1234.50"
    assert convert("M", Reading(Kind.CHOICE, labels={"m": "male"})) == "male"
    assert convert("红，Blau", Reading(Kind.LIST, labels={"红": "red", "blau": "blue"})) == ["red", "blue"]
