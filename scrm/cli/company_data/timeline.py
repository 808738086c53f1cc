"""Timelines of generated customers, with the entries and counters that the live system would have written.

Adds and losses of relations, the tags of a relation at once, events of types that timelines show, and every status of
an order. One statement over the copied rows: it costs about as much as copying the events did.
"""

from __future__ import annotations

from scrm.portraits.service import EntryKind

ENTRIES = f"""
INSERT INTO timeline (at, customer_id, kind, staff_id, details, source_key)
SELECT at, customer_id, kind, staff_id, details, source_key FROM (
  SELECT l.at, f.customer_id, l.kind, f.staff_id, CAST('{{}}' AS jsonb) AS details, l.kind || ':' || f.id || ':' AS source_key
  FROM follows f CROSS JOIN LATERAL (VALUES ('{EntryKind.FOLLOW_ADDED}', f.added_at),
    ('{EntryKind.FOLLOW_LOST_BY_CUSTOMER}', f.deleted_by_customer_at),
    ('{EntryKind.FOLLOW_LOST_BY_STAFF}', f.deleted_by_staff_at)) AS l(kind, at)
  WHERE l.at IS NOT NULL
  UNION ALL
  SELECT max(a.changed_at), a.customer_id, '{EntryKind.TAG_ADDED}', f.staff_id,
    jsonb_build_object('tag_ids', jsonb_agg(a.tag_id ORDER BY a.tag_id), 'source', s.source),
    '{EntryKind.TAG_ADDED}:' || min(a.id) || ':' || min(a.version)
  FROM tag_assignments a JOIN tag_sources s ON s.assignment_id = a.id JOIN follows f ON f.id = a.follow_id
  GROUP BY a.customer_id, a.follow_id, f.staff_id, s.source
  UNION ALL
  SELECT e.at, p.customer_id, '{EntryKind.EVENT_DONE}', NULL,
    jsonb_build_object('event_id', e.id, 'type_id', e.type_id), 'event:' || e.id
  FROM behaviour_events e JOIN event_types y ON y.id = e.type_id AND y.on_timeline
  JOIN customer_people p ON p.person_id = e.person_id
  UNION ALL
  SELECT s.at, p.customer_id, 'order.' || s.status, NULL, jsonb_build_object('order_id', s.order_id),
    'order:' || s.order_id || ':' || s.status
  FROM order_statuses s JOIN orders o ON o.id = s.order_id JOIN customer_people p ON p.person_id = o.person_id) facts
ORDER BY customer_id, at, source_key"""  # noqa: S608  # constants
COUNTERS = """
INSERT INTO customer_counters (customer_id, entries, last_entry_at)
SELECT customer_id, count(*), max(at) FROM timeline GROUP BY customer_id ORDER BY customer_id"""
STATEMENTS = (ENTRIES, COUNTERS)
FILLED = ("timeline", "customer_counters")
