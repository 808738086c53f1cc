"""Days, times and durations of Excel: numbers that are shown as such because of how their cell is formatted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from enum import Enum
from xml.etree.ElementTree import Element

from scrm.kernel.sheets.cells import Cell
from scrm.kernel.sheets.elements import local_name

BUILT_IN = {*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)}
"""Formats that files name by number alone (ECMA-376 part 1, 18.8.30); 27 to 36 and 50 to 58 are the Chinese, Japanese
and Korean ones, such as 31: 2024年1月31日."""
BUILT_IN_SPAN = 46  # [h]:mm:ss
QUOTED = re.compile(r'"[^"]*"|\\.|_.|\*.')
SPAN = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
BRACKETS = re.compile(r"\[[^\]]*\]")
PARTS = re.compile(r"[dmyhs]", re.IGNORECASE)

ZERO, ZERO_1904 = datetime.fromisoformat("1899-12-30"), datetime.fromisoformat("1904-01-01")
FALSE_LEAP_DAY = 60  # Lotus 1-2-3 took 1900 for a leap year, and Excel after it
LAST = 2_958_466  # the day after 9999-12-31
DAY_MS = 86_400_000


class Shown(Enum):
    """What a number is shown as."""

    NUMBER = 0
    MOMENT = 1
    SPAN = 2


def shown_as(code: str) -> Shown:
    """What the format with this code makes of a number: its first section, without texts, colours and conditions."""
    bare = QUOTED.sub("", code.partition(";")[0])
    if SPAN.search(bare):
        return Shown.SPAN
    bare = BRACKETS.sub("", bare)
    if "general" in bare.casefold():
        return Shown.NUMBER
    return Shown.MOMENT if PARTS.search(bare) else Shown.NUMBER


def format_codes(number_formats: Iterator[Element]) -> dict[int, Shown]:
    """By id: what a workbook's own formats make of a number."""
    return {
        int(one.get("numFmtId", "0")): shown_as(one.get("formatCode", ""))
        for one in number_formats
        if local_name(one) == "numFmt"
    }


def built_in(format_id: int) -> Shown:
    """What a format that is named by number alone makes of a number."""
    if format_id == BUILT_IN_SPAN:
        return Shown.SPAN
    return Shown.MOMENT if format_id in BUILT_IN else Shown.NUMBER


def moment_of(serial: float, *, since_1904: bool) -> Cell:
    """The day (a whole number), the time of day (less than one) or the moment; the number itself where it is none."""
    if not 0 <= serial < LAST:
        return serial
    ms = round(serial * DAY_MS)
    if ms < DAY_MS:
        return (ZERO + timedelta(milliseconds=ms)).time()
    zero = ZERO_1904 if since_1904 else ZERO
    if not since_1904 and serial < FALSE_LEAP_DAY:
        zero += timedelta(days=1)
    try:
        found = zero + timedelta(milliseconds=ms)
    except OverflowError:
        return serial
    return found.date() if found.time() == time() else found


def span_of(days: float) -> Cell:
    """A duration in words: ``1 day, 2:30:00``; the number itself where it is none."""
    if abs(days) >= timedelta.max.days:
        return days
    return str(timedelta(milliseconds=round(days * DAY_MS)))


def moment_written(text: str) -> Cell:
    """A cell of type ``d`` (ISO 8601): its day or its moment; the text itself where it is none."""
    try:
        return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    except ValueError:
        return text
