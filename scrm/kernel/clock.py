"""Time: aware UTC inside, the corp's zone only at the edge."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_shift = timedelta(0)


def utcnow() -> datetime:
    """The present moment, aware, in UTC; the only way to ask for the time in this program."""
    return datetime.now(UTC) + _shift


def shift() -> timedelta:
    """How far tests have moved this process's clock; nothing otherwise."""
    return _shift


def from_epoch(seconds: float) -> datetime:
    """WeCom's Unix seconds as an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def in_zone(moment: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """``moment`` as people in ``zone`` read it."""
    return moment.astimezone(zone)


def from_zone(wall: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """A wall-clock time without zone, read in ``zone``, as UTC; an aware time keeps its own zone."""
    return (wall if wall.tzinfo else wall.replace(tzinfo=zone)).astimezone(UTC)


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Move this process's clock for a while; tests use it beside the sandbox's own clock."""
    global _shift  # noqa: PLW0603  # one clock per process is the point
    before = _shift
    _shift = before + by
    try:
        yield
    finally:
        _shift = before
