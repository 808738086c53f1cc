"""Counts per day, worked out again from the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.settings import settings


def recount_days(person_ids: Sequence[int]) -> None:
    """Make ``event_days`` of some persons what their events say; after events went from one person to another.

    Days of detached months are no longer counted after this.
    """
    people = sorted(set(person_ids))
    session().execute(_DROP, {"people": people})
    session().execute(_COUNT, {"people": people, "zone": settings().corp.timezone})


def uncount_month(table: str) -> None:
    """Take the events of a detached month out of ``event_days``.

    :param table: the month's own table
    """
    session().execute(text(_UNCOUNT.format(table)), {"zone": settings().corp.timezone})
    session().execute(text("DELETE FROM event_days WHERE count <= 0"))


def recount_month(begins_at: datetime, ends_at: datetime) -> None:
    """Make ``event_days`` of a detached month what the table's events say; for a month whose own table is gone.

    Its first and last day may lie in neighbouring months too: a month of the table is one of UTC. Nobody counts meanwhile,
    or a count that is added between the two statements would be lost.
    """
    spans = {"begins": begins_at, "ends": ends_at, "zone": settings().corp.timezone}
    session().execute(text("LOCK TABLE event_days IN SHARE ROW EXCLUSIVE MODE"))
    session().execute(_DROP_MONTH, spans)
    session().execute(_COUNT_REST, spans)


def count_month(table: str) -> None:
    """Add the events of a month that was attached again.

    :param table: the month's own table
    """
    session().execute(text(_COUNT_MONTH.format(table)), {"zone": settings().corp.timezone})


_OF_MONTH = """SELECT type_id, person_id, CAST(timezone(:zone, at) AS date) AS day, count(*) AS count
  FROM "{}" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""  # the name of a partition
_UNCOUNT = f"""
UPDATE event_days d SET count = d.count - g.count FROM ({_OF_MONTH}) g
WHERE d.type_id = g.type_id AND d.person_id = g.person_id AND d.day = g.day
"""  # noqa: S608  # constants
_DAYS = """days AS (SELECT CAST(timezone(:zone, CAST(:begins AS timestamptz)) AS date) AS first,
  CAST(timezone(:zone, CAST(:ends AS timestamptz) - interval '1 microsecond') AS date) AS last)"""
_DROP_MONTH = text(
    f"WITH {_DAYS} DELETE FROM event_days USING days WHERE day BETWEEN first AND last"  # noqa: S608  # constants
)
_COUNT_REST = text(f"""
WITH {_DAYS} INSERT INTO event_days (type_id, person_id, day, count)
SELECT type_id, person_id, CAST(timezone(:zone, at) AS date) AS day, count(*) FROM behaviour_events, days
WHERE at >= timezone(:zone, CAST(first AS timestamp)) AND at < timezone(:zone, CAST(last + 1 AS timestamp))
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""")  # noqa: S608  # constants
_COUNT_MONTH = f"""
INSERT INTO event_days AS d (type_id, person_id, day, count) {_OF_MONTH}
ON CONFLICT (type_id, person_id, day) DO UPDATE SET count = d.count + excluded.count
"""
_DROP = text("""
DELETE FROM event_days WHERE type_id = ANY(ARRAY(SELECT id FROM event_types))
  AND person_id = ANY(CAST(:people AS bigint[]))
""")  # types named, so that the primary key serves: an index on persons alone would cost every event that comes in
_COUNT = text("""
INSERT INTO event_days (type_id, person_id, day, count)
SELECT e.type_id, e.person_id, CAST(timezone(:zone, e.at) AS date) AS day, count(*)
FROM event_types t JOIN behaviour_events e ON e.type_id = t.id
WHERE e.person_id = ANY(CAST(:people AS bigint[]))
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
