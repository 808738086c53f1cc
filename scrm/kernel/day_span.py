"""Spans of the day as people read them on a clock: quiet hours, office hours, slots. Pure; the zone is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class DaySpan:
    """A part of every day from ``start`` (within) to ``end`` (not within); over midnight when ``end`` is the earlier.

    Equal times span nothing.
    """

    start: time
    end: time

    @classmethod
    def between(cls, start: str, end: str) -> DaySpan:
        """A span of two ``HH:MM`` texts; two empty ones span nothing.

        :raises ValueError: for texts that are no times
        """
        return cls(time.fromisoformat(start or "00:00"), time.fromisoformat(end or "00:00"))

    def holds(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether clocks in ``zone`` show a time of the span at ``moment`` (aware)."""
        wall = moment.astimezone(zone).time()
        if self.start <= self.end:
            return self.start <= wall < self.end
        return wall >= self.start or wall < self.end

    def next_end(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first time after ``moment`` at which clocks in ``zone`` show the end; UTC."""
        return _next_showing(self.end, moment, zone)

    def next_start(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first time after ``moment`` at which clocks in ``zone`` show the start; UTC."""
        return _next_showing(self.start, moment, zone)


def _next_showing(wall: time, moment: datetime, zone: ZoneInfo) -> datetime:
    today = moment.astimezone(zone).date()
    days = (today + timedelta(days=ahead) for ahead in range(3))
    return min(showing for day in days for showing in _showings(day, wall, zone) if showing > moment)


def _showings(day: date, wall: time, zone: ZoneInfo) -> list[datetime]:
    """When clocks show ``wall``: twice on the day they are put back; skipped over, the same while after the jump."""
    first, second = (
        datetime.combine(day, wall.replace(fold=fold), tzinfo=zone).astimezone(UTC) for fold in (0, 1)
    )
    return [first, second] if second > first else [first]
