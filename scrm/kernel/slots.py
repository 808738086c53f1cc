"""Slots of the week and of special dates, as clocks on a wall show them.

A slot is a matter of wall time: it holds while a clock in the zone shows a time inside it, so on the day the clocks are
put forward it is shorter and where an hour comes twice it holds twice. Times are minutes of the day; a slot whose end
is not after its begin runs over midnight and belongs to the day on which it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = 24 * 60  # minutes
WEEK = 7 * DAY
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class WeekSlot:
    """On these weekdays from ``begin`` until ``end``.

    :param weekdays: 1 Monday to 7 Sunday, as ISO counts
    :param begin: first minute of the day, 0 to 1439
    :param end: first minute after it, 1 to 1440; not after ``begin``: on the next day
    """

    weekdays: frozenset[int]
    begin: int
    end: int

    def covers(self, wall: datetime) -> bool:
        """Whether a clock that shows ``wall`` is inside."""
        minute, today = _minute(wall), wall.isoweekday()
        if self.end > self.begin:
            return today in self.weekdays and self.begin <= minute < self.end
        yesterday = (today - 2) % 7 + 1
        return (today in self.weekdays and minute >= self.begin) or (
            yesterday in self.weekdays and minute < self.end
        )

    def spans(self) -> list[tuple[int, int]]:
        """[begin, end) in minutes of the week, Monday 00:00 being 0; none runs over the end of the week."""
        spans = []
        for day in self.weekdays:
            first = (day - 1) * DAY + self.begin
            last = (day - 1) * DAY + self.end + (DAY if self.end <= self.begin else 0)
            spans.append((first, min(last, WEEK)))
            if last > WEEK:
                spans.append((0, last - WEEK))
        return spans


@dataclass(frozen=True, slots=True)
class DateSlot:
    """On every date from ``first`` to ``last`` from minute ``begin`` until ``end``, as in :class:`WeekSlot`."""

    first: date
    last: date
    begin: int
    end: int

    def covers(self, wall: datetime) -> bool:
        """Whether a clock that shows ``wall`` is inside."""
        minute, today = _minute(wall), wall.date()
        if self.end > self.begin:
            return self.first <= today <= self.last and self.begin <= minute < self.end
        yesterday = today - timedelta(days=1)
        return (self.first <= today <= self.last and minute >= self.begin) or (
            self.first <= yesterday <= self.last and minute < self.end
        )

    def spans(self) -> list[tuple[int, int]]:
        """[begin, end) in minutes since the year 1."""
        length = self.end - self.begin + (DAY if self.end <= self.begin else 0)
        begins = (day * DAY + self.begin for day in range(self.first.toordinal(), self.last.toordinal() + 1))
        return [(begin, begin + length) for begin in begins]


Slot = WeekSlot | DateSlot


@dataclass(frozen=True, slots=True)
class Overlap:
    """Slots ``first`` and ``second`` (places in the list) both hold from ``when``."""

    first: int
    second: int
    when: str


def first_overlap(slots: Sequence[Slot]) -> Overlap | None:
    """Two slots of one kind that hold at the same time; None when no two do."""
    spans = sorted((begin, end, place) for place, slot in enumerate(slots) for begin, end in slot.spans())
    for (_, end, one), (begin, _, other) in pairwise(spans):
        if begin < end:  # sorted by begin: where any two overlap, two neighbours do
            dated = isinstance(slots[one], DateSlot)
            return Overlap(min(one, other), max(one, other), _moment(begin, dated=dated))
    return None


def next_change(slots: Iterable[Slot], zone: ZoneInfo, now: datetime) -> datetime:
    """A moment (UTC) after ``now`` before which no slot begins or ends and no day ends in ``zone``.

    Asking too early is harmless, so nothing is looked for beyond the end of the day; the moments at which the clocks of
    the zone are put forward or back count too.
    """
    minutes = {0} | {minute % DAY for slot in slots for minute in (slot.begin, slot.end)}
    today = now.astimezone(zone).date()
    walls = [
        datetime.combine(today + timedelta(days=day), wall_time(*divmod(minute, 60)), zone)
        for day in (0, 1)
        for minute in minutes
    ]
    moments = (wall.replace(fold=fold).astimezone(UTC) for wall in walls for fold in (0, 1))
    return _clock_change(zone, now, min(moment for moment in moments if moment > now))


def _clock_change(zone: ZoneInfo, after: datetime, until: datetime) -> datetime:
    """When the clocks of the zone change between the two; ``until`` when they do not."""
    before, low, high = after.astimezone(zone).utcoffset(), after, until
    if until.astimezone(zone).utcoffset() == before:
        return until
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def day_begin(zone: ZoneInfo, moment: datetime) -> datetime:
    """The first moment (UTC) of the day that ``moment`` belongs to in ``zone``."""
    return datetime.combine(moment.astimezone(zone).date(), wall_time(0), zone).astimezone(UTC)


def _minute(wall: datetime) -> int:
    return wall.hour * 60 + wall.minute


def _moment(minute: int, *, dated: bool) -> str:
    day, rest = divmod(minute, DAY)
    name = date.fromordinal(day).isoformat() if dated else WEEKDAYS[day % 7]
    return f"{name} {rest // 60:02}:{rest % 60:02}"
