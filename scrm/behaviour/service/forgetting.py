"""Retention: events older than their type is kept are deleted, with their keys and the counts of their days."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, text

from scrm.behaviour.events import BehaviourStored
from scrm.behaviour.models import EventType
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.settings import settings

AT_ONCE = 5000


def expiring() -> dict[int, datetime]:
    """By type that is not kept for good: events before this are too old."""
    kept = select(EventType.id, EventType.retention_days).where(EventType.retention_days.is_not(None))
    return {row.id: utcnow() - timedelta(days=row.retention_days) for row in session().execute(kept)}


def forget_events(type_id: int, before: datetime) -> int:
    """Delete at most AT_ONCE events of a type that are older than ``before``; returns how many went."""
    values = {"type": type_id, "before": before, "limit": AT_ONCE, "zone": settings().corp.timezone}
    rows = session().execute(_FORGET, values).all()
    if rows:
        session().execute(_DROP_EMPTY, {"type": type_id})
        publish(BehaviourStored(tuple(sorted({row.person_id for row in rows})), (type_id,), recount=True))
    return sum(row.events for row in rows)


_FORGET = text("""
WITH old AS MATERIALIZED (
  SELECT id, at FROM behaviour_events WHERE type_id = :type AND at < :before LIMIT :limit),
gone AS (
  DELETE FROM behaviour_events e USING old WHERE e.id = old.id AND e.at = old.at
  RETURNING e.person_id, e.at, e.source, e.source_id),
unkeyed AS (
  DELETE FROM event_keys k USING gone WHERE k.source = gone.source AND k.source_id = gone.source_id),
counted AS (
  UPDATE event_days d SET count = d.count - g.count FROM (
    SELECT person_id, CAST(timezone(:zone, at) AS date) AS day, count(*) AS count FROM gone GROUP BY 1, 2) g
  WHERE d.type_id = :type AND d.person_id = g.person_id AND d.day = g.day)
SELECT person_id, count(*) AS events FROM gone GROUP BY person_id
""")
_DROP_EMPTY = text("DELETE FROM event_days WHERE type_id = :type AND count <= 0")
