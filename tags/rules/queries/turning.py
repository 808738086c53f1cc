"""Whom another priority of a rule concerns: relations on which it and another rule want different tags of an exclusive group."""

from __future__ import annotations

from sqlalchemy import text

from scrm.kernel.db import session
from tags.rules.queries.impact import Impact


def turned(rule_id: int, before: int, after: int) -> Impact:
    """What may be turned round when a rule goes from one priority to another; the caller bounds the time.

    Counted are the relations that both want at the moment, whichever of the two tags stands: at most so many change.
    """
    values = {"rule": rule_id, "low": min(before, after), "high": max(before, after)}
    row = session().execute(_TURNED, values).one()
    return Impact(row.base, row.customers, row.customers, row.tags, row.tags, row.tags, row.staff, row.calls)


_TURNED = text("""
WITH mine AS MATERIALIZED (
  SELECT a.follow_id, a.customer_id, a.tag_id, t.group_id, g.push
  FROM tag_sources s JOIN tag_assignments a ON a.id = s.assignment_id
  JOIN tags t ON t.id = a.tag_id JOIN tag_groups g ON g.id = t.group_id AND g.exclusive
  WHERE s.source = 'rule:' || CAST(:rule AS text) AND s.spent_at IS NULL
  AND (a.outranked OR a.state IN ('active', 'pending_add'))),
turned AS (
  SELECT m.follow_id, m.customer_id, m.push FROM mine m WHERE EXISTS (
    SELECT FROM tag_assignments o JOIN tags t ON t.id = o.tag_id AND t.group_id = m.group_id
    JOIN tag_sources s ON s.assignment_id = o.id AND s.spent_at IS NULL
    JOIN rules r ON s.source = 'rule:' || r.id
    WHERE o.follow_id = m.follow_id AND o.tag_id <> m.tag_id AND (o.outranked OR o.state IN ('active', 'pending_add'))
    AND r.id <> :rule AND r.priority BETWEEN :low AND :high))
SELECT (SELECT count(*) FROM customers) AS base, count(DISTINCT t.customer_id) AS customers, count(*) AS tags,
  count(DISTINCT f.staff_id) AS staff, count(DISTINCT t.follow_id) FILTER (WHERE t.push = 'wecom') AS calls
FROM turned t JOIN follows f ON f.id = t.follow_id
""")
