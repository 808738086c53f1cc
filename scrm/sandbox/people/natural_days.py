"""Natural days as WeCom counts them: Beijing time, whatever the machine's zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86_400
ZONE = 8 * 3_600


def day_of(at: float) -> int:
    """The number of the day in which these Unix seconds lie."""
    return int((at + ZONE) // DAY)


def day_start(day: int) -> int:
    """Unix seconds at which the day begins."""
    return day * DAY - ZONE


def within_days(times: Iterable[float], now: float, days: int) -> int:
    """How many of `times` lie within today and the days before it, `days` in all."""
    return sum(1 for at in times if day_of(now) - day_of(at) < days)
