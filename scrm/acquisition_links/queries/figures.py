"""The funnel of links (clicks, profile opened, request, add, chat), and the quota with its forecast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import select, text

from scrm.acquisition_links.models import QuotaReading
from scrm.acquisition_links.queries.links import link_detail, readings
from scrm.acquisition_links.service.quota import level_of, newest_reading
from scrm.kernel.clock import from_epoch, in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings

RECENT = timedelta(days=14)  # use is judged by
SHORTEST = timedelta(hours=12)  # less says nothing
FIGURES = ("clicks", "new_customers", "opened", "requested", "added", "chatted", "lost")

_CHATTED = """(a.chat_status = 1 OR EXISTS (SELECT FROM link_events w WHERE w.follow_id = a.follow_id
  AND w.change_type IN ('customer_start_chat', 'message_from_customer') AND w.event_at >= a.at - interval '1 day'))"""
_PARTS = f"""
days AS (
  SELECT d.acquisition_link_id AS link, d.day, sum(d.clicks) AS clicks, sum(d.new_customers) AS new_customers
  FROM link_days d WHERE d.day BETWEEN CAST(:since AS date) AND CAST(:until AS date) GROUP BY 1, 2),
told AS (
  SELECT l.id AS link, (e.event_at AT TIME ZONE :zone)::date AS day, c.id AS channel,
    count(*) FILTER (WHERE e.change_type = 'open_profile') AS opened,
    count(*) FILTER (WHERE e.change_type = 'friend_request') AS requested
  FROM link_events e JOIN acquisition_links l ON l.link_id = e.link_id
  LEFT JOIN link_channels c ON c.state = e.state AND c.acquisition_link_id = l.id
  WHERE e.change_type IN ('open_profile', 'friend_request') AND e.event_at >= :start AND e.event_at < :end
  GROUP BY 1, 2, 3),
came AS (
  SELECT a.acquisition_link_id AS link, (a.at AT TIME ZONE :zone)::date AS day, a.link_channel_id AS channel,
    count(*) AS added, count(*) FILTER (WHERE {_CHATTED}) AS chatted,
    count(*) FILTER (WHERE f.status IN ('deleted_by_staff', 'deleted_by_customer')) AS lost
  FROM link_arrivals a JOIN follows f ON f.id = a.follow_id
  WHERE a.at >= :start AND a.at < :end AND (:everyone OR f.staff_id = ANY(CAST(:staff AS bigint[])))
  GROUP BY 1, 2, 3)
"""  # noqa: S608  # constants of this module
_COUNTED = """
  SELECT link, day, NULL::bigint AS channel, clicks, new_customers, 0 AS opened, 0 AS requested, 0 AS added,
    0 AS chatted, 0 AS lost FROM days
  UNION ALL SELECT link, day, channel, 0, 0, opened, requested, 0, 0, 0 FROM told
  UNION ALL SELECT link, day, channel, 0, 0, 0, 0, added, chatted, lost FROM came
"""
_SUMS = ", ".join(f"sum(n.{name})::bigint AS {name}" for name in FIGURES)
_BY_DAY = text(f"""
WITH {_PARTS} SELECT n.day, {_SUMS} FROM ({_COUNTED}) n WHERE n.link = :link GROUP BY n.day ORDER BY n.day
""")  # noqa: S608  # same
_BY_CHANNEL = text(f"""
WITH {_PARTS} SELECT n.channel AS link_channel_id, min(c.name) AS name, {_SUMS}
FROM ({_COUNTED}) n LEFT JOIN link_channels c ON c.id = n.channel
WHERE n.link = :link GROUP BY n.channel ORDER BY n.channel NULLS FIRST
""")  # noqa: S608  # same
_BY_LINK = text(f"""
WITH {_PARTS} SELECT l.id AS acquisition_link_id, l.name, l.status, {_SUMS}
FROM ({_COUNTED}) n JOIN acquisition_links l ON l.id = n.link
GROUP BY l.id ORDER BY added DESC, l.id
""")  # noqa: S608  # same


def link_statistics(scope: Scope, link_id: int, since: date, until: date) -> dict[str, Any]:
    """The funnel of one link for days of the corp's zone (both included): in total, by day, by channel.

    ``clicks`` and ``new_customers`` are WeCom's own counts, which know no channel and no data scope; ``opened`` and
    ``requested`` are told by callbacks (requests only with a channel, profiles only in some industries); ``added``,
    ``chatted`` and ``lost`` are relations.
    """
    link_detail(link_id)
    values = {"link": link_id, **_values(scope, since, until)}
    days = _rows(_BY_DAY, values)
    total = {name: sum(row[name] for row in days) for name in FIGURES}
    return {
        "since": since,
        "until": until,
        "total": total,
        "rates": _rates(total),
        "days": days,
        "channels": _rows(_BY_CHANNEL, values),
    }


def links_overview(scope: Scope, since: date, until: date) -> list[dict[str, Any]]:
    """The funnel of every link with anything to tell, the one with most adds first."""
    return [{**row, "rates": _rates(row)} for row in _rows(_BY_LINK, _values(scope, since, until))]


def _rates(row: dict[str, Any]) -> dict[str, float | None]:
    """Shares of one step that reached the next."""
    return {
        "added_of_clicks": _share(row["added"], row["clicks"]),
        "added_of_requests": _share(row["added"], row["requested"]),
        "chatted_of_added": _share(row["chatted"], row["added"]),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _values(scope: Scope, since: date, until: date) -> dict[str, Any]:
    zone = settings().corp.zone
    start = datetime(since.year, since.month, since.day, tzinfo=zone)
    after = until + timedelta(days=1)
    return {
        "since": since,
        "until": until,
        "start": start,
        "end": datetime(after.year, after.month, after.day, tzinfo=zone),
        "zone": settings().corp.timezone,
        "everyone": scope.everyone,
        "staff": sorted(scope.staff_ids),
    }


def _rows(statement: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in session().execute(statement, values).mappings()]


def quota_now() -> dict[str, Any]:
    """The quota as last read: what is left, when which part of it expires, and how long it lasts by recent use."""
    reading = newest_reading()
    read = readings().get("quota", {})
    if reading is None:
        return {"read_at": None, "error": read.get("error"), "batches": []}
    used = use_per_day()
    days_left = reading.balance / used if used else None
    return {
        "total": reading.total,
        "balance": reading.balance,
        "level": level_of(reading.balance),
        "read_at": reading.confirmed_at,
        "error": read.get("error"),
        "batches": [
            {"expires_at": from_epoch(batch["expire_date"]), "balance": batch.get("balance", 0)}
            for batch in reading.batches
            if batch.get("expire_date")
        ],
        "used_per_day": round(used, 2) if used is not None else None,
        "days_left": round(days_left, 1) if days_left is not None else None,
        "lasts_until": _day_after(days_left),
    }


def _day_after(days: float | None) -> date | None:
    """The day on which the quota ends at this rate; None when nothing is used, or it lasts longer than anyone plans."""
    if days is None or days > 3650:  # ten years
        return None
    return in_zone(utcnow() + timedelta(days=days), settings().corp.zone).date()


def use_per_day() -> float | None:
    """Adds per day over the last two weeks, from readings; what expired is not counted. None: too little is known."""
    since = utcnow() - RECENT
    before = select(QuotaReading).where(QuotaReading.at < since).order_by(QuotaReading.at.desc()).limit(1)
    recent = select(QuotaReading).where(QuotaReading.at >= since).order_by(QuotaReading.at)
    known = [*session().scalars(before), *session().scalars(recent)]
    if not known or known[-1].confirmed_at - known[0].at < SHORTEST:
        return None
    used = sum(_used(one, after) for one, after in pairwise(known))
    days: float = (known[-1].confirmed_at - max(known[0].at, since)) / timedelta(days=1)
    return used / days


def _used(one: QuotaReading, after: QuotaReading) -> int:
    expired = _expired(one.batches, after.at.timestamp())
    return max(0, one.balance - expired - after.balance)


def _expired(batches: Sequence[dict[str, Any]], until: float) -> int:
    return sum(
        batch.get("balance", 0) for batch in batches if (batch.get("expire_date") or until + 1) <= until
    )
