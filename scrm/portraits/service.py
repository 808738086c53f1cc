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
    """Write entries that are not there yet and raise the counters by exactly those; one statement."""
    if entries:
        ordered = sorted(entries, key=lambda entry: (entry.customer_id, entry.at, entry.source_key))
        rows = [{name: getattr(entry, name) for name in COLUMNS} for entry in ordered]
        session().execute(_ADD, {"rows": orjson.dumps(rows).decode()})


_ADD = text(f"""
WITH fresh AS (
  INSERT INTO timeline (at, customer_id, kind, staff_id, details, source_key)
  SELECT at, customer_id, kind, staff_id, details, source_key
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(at timestamptz, customer_id bigint, kind text, staff_id bigint,
    details jsonb, source_key text)
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
""")  # noqa: S608  # names of this module's own constants


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
