"""Counts per day, worked out again from the events."""

from __future__ import annotations

from collections.abc import Sequence

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
