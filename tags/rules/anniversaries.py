"""Which days of birth (or of anything else) come round on given days, in the solar and in the lunar calendar.

The lunar calendar is no formula of SQL: the days of birth that come round are worked out from a table of the lunar months
of 1900 to 2100, made once a process, and go into the statement as one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from tyme4py.lunar import LunarYear

FIRST_YEAR, LAST_YEAR = 1900, 2100


class LunarDay(NamedTuple):
    """A day of the lunar calendar.

    :param leap: whether it lies in a leap month
    :param last: whether it is the last of its month
    """

    month: int
    day: int
    leap: bool
    last: bool


def solar_marks(days: Sequence[date]) -> list[str]:
    """``MM-DD`` of the days; 29 February comes round on the 28th in a year without it."""
    marks = {day.isoformat()[5:] for day in days}
    if any((day.month, day.day) == (2, 28) and (day + timedelta(days=1)).month == 3 for day in days):
        marks.add("02-29")
    return sorted(marks)


def lunar_births(days: Sequence[date]) -> list[str]:
    """Earlier solar days (ISO) whose lunar date comes round on one of ``days``.

    Who was born in a leap month has the birthday in the ordinary month of that number; who was born on the 30th, on the
    29th in a year whose month has no more.
    """
    table, births = lunar_table(), births_by_lunar_day()
    found: set[date] = set()
    for day in days:
        told = table.get(day)
        if told is None or told.leap:
            continue
        wanted = [told.day, 30] if told.last and told.day == 29 else [told.day]
        found.update(each for number in wanted for each in births.get((told.month, number), ()))
    return [day.isoformat() for day in sorted(found) if day < min(days)]


@lru_cache(maxsize=1)
def lunar_table() -> dict[date, LunarDay]:
    """Every solar day of the table's years with its lunar date."""
    table: dict[date, LunarDay] = {}
    for year in range(FIRST_YEAR - 1, LAST_YEAR + 1):
        for month in LunarYear.from_year(year).get_months():
            first = month.get_first_julian_day().get_solar_day()
            begin = date(first.get_year(), first.get_month(), first.get_day())
            length = month.get_day_count()
            for i in range(length):
                told = LunarDay(month.get_month(), i + 1, month.is_leap(), i + 1 == length)
                table[begin + timedelta(days=i)] = told
    return table


@lru_cache(maxsize=1)
def births_by_lunar_day() -> dict[tuple[int, int], list[date]]:
    """(lunar month, day) → the solar days with that date, leap months under the number of their month."""
    births: dict[tuple[int, int], list[date]] = {}
    for day, told in lunar_table().items():
        births.setdefault((told.month, told.day), []).append(day)
    return births
