"""Writing the timeline and the counters beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.db import session


class EntryKind(StrEnum):
    """Every kind of timeline entry; ``details`` says what its column names."""

    FOLLOW_ADDED = "follow.added"  # {state?}
    FOLLOW_HALF_ADDED = "follow.half_added"  # {state?}; the member has not added back
    FOLLOW_LOST_BY_STAFF = "follow.lost_by_staff"  # {source?}; the member deleted the customer
    FOLLOW_LOST_BY_CUSTOMER = "follow.lost_by_customer"  # {}; the customer deleted the member
    FOLLOW_TRANSFER_FAILED = "follow.transfer_failed"  # {reason}
    GROUP_JOINED = "group.joined"  # {group_id}
    GROUP_LEFT = "group.left"  # {group_id}
    MESSAGE_IN = "message.in"  # {message_id, channel}
    MESSAGE_OUT = "message.out"  # {message_id, channel}
    MESSAGE_EVENT = "message.event"  # {message_id, channel}; what the platform reports in a conversation
    TAG_ADDED = "tag.added"  # {tag_ids, source}
    TAG_REMOVED = "tag.removed"  # {tag_ids, source}
    WELCOME_SENT = "welcome.sent"  # {welcome_id}
    WELCOME_MISSED = "welcome.missed"  # {reason}
    BROADCAST_SENT = "broadcast.sent"  # {broadcast_id}
    EVENT_DONE = "event.done"  # {event_id, type_id}
    ORDER_PLACED = "order.placed"  # {order_id}, as all of this family
    ORDER_PAID = "order.paid"
    ORDER_SHIPPED = "order.shipped"
    ORDER_COMPLETED = "order.completed"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_REFUNDED = "order.refunded"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to a customer.

    :param kind: an EntryKind
    :param details: ids and codes, no texts of people
    :param source_key: what it comes from, such as ``follow.added:12:1700000000``; with the customer and the time it
        makes the entry once-only, so both must be the same whenever it is told
    """

    customer_id: int
    at: datetime
    kind: str
    details: Mapping[str, Any] = field(default_factory=dict)
    source_key: str = ""
    staff_id: int | None = None


COLUMNS = ("at", "customer_id", "kind", "staff_id", "details", "source_key")


def add_entries(entries: Sequence[Entry]) -> None:
    """Write entries that are not there yet and raise the counters by exactly those; one statement.

    Entries of a month that was detached are passed over.
    """
    if entries:
        ordered = sorted(entries, key=lambda entry: (entry.customer_id, entry.at, entry.source_key))
        rows = [{name: getattr(entry, name) for name in COLUMNS} for entry in ordered]
        session().execute(_ADD, {"rows": orjson.dumps(rows).decode()})


_INTO = f"""
  INSERT INTO timeline (at, customer_id, kind, staff_id, details, source_key)
  SELECT at, customer_id, kind, staff_id, details, source_key FROM {{given}}
  WHERE NOT EXISTS (SELECT FROM detached_months m
    WHERE m.table_name = 'timeline' AND m.begins_at <= at AND at < m.ends_at)
  ON CONFLICT (customer_id, source_key, at) DO NOTHING
  RETURNING customer_id, at, kind),
sums AS (
  SELECT customer_id, count(*) AS entries, max(at) AS last_entry_at,
    count(*) FILTER (WHERE kind = '{EntryKind.MESSAGE_IN}') AS messages_in,
    count(*) FILTER (WHERE kind = '{EntryKind.MESSAGE_OUT}') AS messages_out,
    max(at) FILTER (WHERE kind = '{EntryKind.MESSAGE_IN}') AS last_in_at,
    max(at) FILTER (WHERE kind = '{EntryKind.MESSAGE_OUT}') AS last_out_at
  FROM fresh GROUP BY customer_id)
INSERT INTO customer_counters AS c (customer_id, entries, last_entry_at, messages_in, messages_out, last_in_at, last_out_at)
SELECT customer_id, entries, last_entry_at, messages_in, messages_out, last_in_at, last_out_at FROM sums
ORDER BY customer_id
ON CONFLICT (customer_id) DO UPDATE SET entries = c.entries + excluded.entries,
  last_entry_at = GREATEST(c.last_entry_at, excluded.last_entry_at),
  messages_in = c.messages_in + excluded.messages_in, messages_out = c.messages_out + excluded.messages_out,
  last_in_at = GREATEST(c.last_in_at, excluded.last_in_at), last_out_at = GREATEST(c.last_out_at, excluded.last_out_at)
"""  # noqa: S608  # names of this module's own constants
_ROWS = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(at timestamptz, customer_id bigint, kind text, staff_id bigint,
    details jsonb, source_key text)"""
_ADD = text("WITH fresh AS (" + _INTO.format(given=_ROWS))


def add_person_entries(events: Sequence[tuple[int, datetime, int, int]], steps: Sequence[Any]) -> None:
    """Put what persons did on the timelines of all their customers; persons without any are passed over.

    :param events: (event id, at, person, type)
    :param steps: orders that reached a status: rows with order_id, person_id, status and at
    """
    persons = {person for _, _, person, _ in events} | {step.person_id for step in steps}
    linked = session().execute(_CUSTOMERS, {"ids": sorted(persons)}).all() if persons else []
    customers: dict[int, list[int]] = {}
    for person_id, customer_id in linked:
        customers.setdefault(person_id, []).append(customer_id)
    done = [
        Entry(customer, at, EntryKind.EVENT_DONE, {"event_id": id_, "type_id": type_id}, f"event:{id_}")
        for id_, at, person, type_id in events
        for customer in customers.get(person, ())
    ]
    ordered = [
        Entry(customer, s.at, f"order.{s.status}", {"order_id": s.order_id}, f"order:{s.order_id}:{s.status}")
        for s in steps
        for customer in customers.get(s.person_id, ())
    ]
    add_entries(done + ordered)


_CUSTOMERS = text("""
SELECT person_id, customer_id FROM customer_people WHERE person_id = ANY(CAST(:ids AS bigint[])) ORDER BY customer_id
""")


def match_person_entries(person_ids: Sequence[int]) -> None:
    """Make timelines show what these persons did, no more and no less.

    For when more than additions happened: events changed or went, customers came to a person, persons were merged or
    split.
    """
    session().execute(_DROP_FOREIGN, {"ids": sorted(person_ids)})
    session().execute(_ADD_MISSING, {"ids": sorted(person_ids)})


_DROP_FOREIGN = text(f"""
WITH dropped AS (
  DELETE FROM timeline t USING customer_people cp
  WHERE cp.person_id = ANY(CAST(:ids AS bigint[])) AND t.customer_id = cp.customer_id AND (
    t.kind = '{EntryKind.EVENT_DONE}' AND NOT EXISTS (
      SELECT FROM detached_months m
      WHERE m.table_name = 'behaviour_events' AND m.begins_at <= t.at AND t.at < m.ends_at)
    AND NOT EXISTS (
      SELECT 1 FROM behaviour_events e JOIN event_types y ON y.id = e.type_id AND y.on_timeline
      WHERE e.id = CAST(t.details->>'event_id' AS bigint) AND e.at = t.at AND e.person_id = cp.person_id)
    OR t.kind LIKE 'order.%' AND NOT EXISTS (
      SELECT 1 FROM order_statuses s JOIN orders o ON o.id = s.order_id
      WHERE s.order_id = CAST(t.details->>'order_id' AS bigint) AND s.at = t.at AND 'order.' || s.status = t.kind
        AND o.person_id = cp.person_id))
  RETURNING t.customer_id, t.id),
sums AS (SELECT customer_id, count(*) AS entries FROM dropped GROUP BY customer_id)
UPDATE customer_counters c SET entries = c.entries - s.entries,
  last_entry_at = (SELECT max(t.at) FROM timeline t WHERE t.customer_id = c.customer_id
    AND t.id NOT IN (SELECT id FROM dropped))
FROM sums s WHERE s.customer_id = c.customer_id
""")  # noqa: S608  # constants
_FACTS = f"""(
    SELECT e.at, cp.customer_id, '{EntryKind.EVENT_DONE}' AS kind, CAST(NULL AS bigint) AS staff_id,
      jsonb_build_object('event_id', e.id, 'type_id', e.type_id) AS details, 'event:' || e.id AS source_key
    FROM customer_people cp CROSS JOIN event_types y
    JOIN behaviour_events e ON e.type_id = y.id AND e.person_id = cp.person_id
    WHERE cp.person_id = ANY(CAST(:ids AS bigint[])) AND y.on_timeline
    UNION ALL
    SELECT s.at, cp.customer_id, 'order.' || s.status, NULL, jsonb_build_object('order_id', o.id),
      'order:' || o.id || ':' || s.status
    FROM customer_people cp JOIN orders o ON o.person_id = cp.person_id JOIN order_statuses s ON s.order_id = o.id
    WHERE cp.person_id = ANY(CAST(:ids AS bigint[]))
    ORDER BY 2, 1, 6) facts"""  # noqa: S608  # constants
_ADD_MISSING = text("WITH fresh AS (" + _INTO.format(given=_FACTS))


def note_stays(joined: Sequence[Any], left: Sequence[Any]) -> None:
    """Put stays in groups on timelines: rows with id, group_id, customer_id and joined_at, or left_at."""
    entries = [joined_entry(s.customer_id, s.group_id, s.id, s.joined_at) for s in joined]
    add_entries(entries + [left_entry(s.customer_id, s.group_id, s.id, s.left_at) for s in left])


def joined_entry(customer_id: int, group_id: int, stay_id: int, at: datetime) -> Entry:
    """A customer came into a group."""
    return Entry(customer_id, at, EntryKind.GROUP_JOINED, {"group_id": group_id}, f"group.joined:{stay_id}")


def left_entry(customer_id: int, group_id: int, stay_id: int, at: datetime) -> Entry:
    """A customer left a group."""
    return Entry(customer_id, at, EntryKind.GROUP_LEFT, {"group_id": group_id}, f"group.left:{stay_id}")
