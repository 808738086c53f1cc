"""What WeCom counts per link and day (customer_acquisition/statistic), day by day of the corp's zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from scrm.acquisition_links.models import AcquisitionLink, LinkDay, LinkState
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings

DAYS_BACK = 30  # WeCom's longest span of one question; what is older is not asked for
SETTLED = timedelta(hours=6)  # a day counted this long after its end is not counted again


@dataclass(frozen=True, slots=True)
class DayWanted:
    """One day of one link that WeCom must be asked about.

    :param link: our id; ``link_id`` is WeCom's
    :param start: first second of the day, ``end``: its last (Unix seconds)
    """

    link: int
    link_id: str
    day: date
    start: int
    end: int


def days_wanted(limit: int, after: tuple[int, date] | None = None) -> list[DayWanted]:
    """Days of living links within the last 30 that were never counted, or before they were over.

    :param after: (link, day) to go on behind, so that a day that fails does not hold up the others
    """
    zone, now = settings().corp.zone, utcnow()
    today = in_zone(now, zone).date()
    rows = session().execute(
        _WANTED,
        {
            "first": today - timedelta(days=DAYS_BACK - 1),
            "today": today,
            "zone": settings().corp.timezone,
            "settled": SETTLED,
            "limit": limit,
            "after_link": after[0] if after else -1,
            "after_day": after[1] if after else date.min,
        },
    )
    return [DayWanted(row.id, row.link_id, row.day, *_bounds(row.day)) for row in rows]


_WANTED = text(f"""
SELECT l.id, l.link_id, d.day::date AS day
FROM acquisition_links l
CROSS JOIN LATERAL generate_series(
  GREATEST(CAST(:first AS date), (COALESCE(l.made_at, l.created_at) AT TIME ZONE :zone)::date)::timestamp,
  CAST(:today AS date)::timestamp, interval '1 day') AS d(day)
LEFT JOIN link_days k ON k.acquisition_link_id = l.id AND k.day = d.day::date
WHERE l.link_id IS NOT NULL AND l.status <> '{LinkState.DELETED}'
AND (k.day IS NULL OR k.fetched_at < ((d.day + interval '1 day') AT TIME ZONE :zone) + :settled)
AND (l.id, d.day::date) > (:after_link, CAST(:after_day AS date))
ORDER BY l.id, d.day LIMIT :limit
""")  # noqa: S608  # constants of this module


def _bounds(day: date) -> tuple[int, int]:
    """First and last second of a day of the corp's zone, as Unix seconds."""
    zone = settings().corp.zone
    start = datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone).astimezone(UTC)
    return int(start.timestamp()), int(end.timestamp()) - 1


def note_days(counted: Sequence[tuple[DayWanted, int, int]], asked_at: datetime) -> None:
    """Keep (day, clicks, new customers); a later count of the same day takes its place."""
    rows = [
        {
            "acquisition_link_id": wanted.link,
            "day": wanted.day,
            "clicks": clicks,
            "new_customers": new,
            "fetched_at": asked_at,
        }
        for wanted, clicks, new in sorted(counted, key=lambda item: (item[0].link, item[0].day))
    ]
    if not rows:
        return
    adding = insert(LinkDay)
    newest = {name: adding.excluded[name] for name in ("clicks", "new_customers", "fetched_at")}
    session().execute(
        adding.on_conflict_do_update(
            index_elements=["acquisition_link_id", "day"],
            set_=newest,
            where=LinkDay.fetched_at < adding.excluded.fetched_at,
        ),
        rows,
    )


def links_to_list() -> list[tuple[int, str]]:
    """(our id, WeCom's) of links whose customers are listed."""
    living = select(AcquisitionLink.id, AcquisitionLink.link_id).where(
        AcquisitionLink.link_id.is_not(None), AcquisitionLink.status != LinkState.DELETED
    )
    return [
        (id_, link_id) for id_, link_id in session().execute(living.order_by(AcquisitionLink.id)) if link_id
    ]
