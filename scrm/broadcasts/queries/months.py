"""WeCom's monthly receive cap (wecom-api.md sections 4.9 and 11), in the corp's own months."""

from __future__ import annotations

import calendar
from datetime import datetime

from scrm.kernel.clock import from_zone, in_zone
from scrm.kernel.settings import settings


def month_start(now: datetime) -> datetime:
    """Midnight of the first of the corp's present month, in UTC."""
    zone = settings().corp.zone
    local = in_zone(now, zone)
    return from_zone(datetime(local.year, local.month, 1), zone)  # noqa: DTZ001  # a wall time on purpose


def monthly_cap(now: datetime) -> int:
    """How many mass messages one customer or group may receive this month.

    WeCom allows as many as the month has days; the settings may be stricter, never looser.
    """
    local = in_zone(now, settings().corp.zone)
    days = calendar.monthrange(local.year, local.month)[1]
    own = settings().broadcasts.monthly_cap
    return min(own, days) if own else days
