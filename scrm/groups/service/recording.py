"""Recording what callbacks tell about customer groups.

Joins and leaves are a chain of versions. An event that fits the stored version is applied at once; anything else (a
gap, a repetition, another order, a change of name) only says that the group must be read from WeCom again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import text

from scrm.groups.events import GroupChanged, GroupJoined, GroupLeft
from scrm.groups.models import GroupStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish

SOON = timedelta(seconds=1)  # groupchat/get may trail the event (wecom-api.md section 3.2)
EVENT_RESOLUTION = timedelta(seconds=1)
"""Two changes of one second may have the same bytes and be one callback: what was read within it is read again."""
LATER = timedelta(seconds=20)  # names and inviters of applied joins; a burst of joins is then one call


class GroupFact(StrEnum):
    """What a callback told."""

    FOUNDED = "founded"
    JOINED = "joined"
    LEFT = "left"
    CHANGED = "changed"  # owner, name or notice; the event does not say to what
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class GroupEvent:
    """One callback about a group.

    :param member_ids: who joined or left; empty when WeCom did not say
    :param scene: QuitScene of a leave (0 left, 1 removed)
    :param versions: (LastMemVer, CurMemVer) of a join or leave
    """

    chat_id: str
    fact: GroupFact
    at: datetime
    member_ids: tuple[str, ...] = ()
    scene: int | None = None
    versions: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch of events does to one group."""

    applied: tuple[GroupEvent, ...]
    version: str | None
    expected: str | None  # version to wait for when not everything could be applied


def record_group_events(events: Sequence[GroupEvent]) -> None:
    """Apply what fits, note what must be read again; tells joins, leaves, foundings and dismissals once each."""
    if not events:
        return
    by_chat: dict[str, list[GroupEvent]] = defaultdict(list)
    for event in events:
        by_chat[event.chat_id].append(event)
    groups = session().execute(_LOCK, {"chat_ids": sorted(by_chat)}).all()
    steps = {g.id: follow_chain(g.member_version, by_chat[g.chat_id]) for g in groups if _is_alive(g)}
    _write_groups([_group_row(g, by_chat[g.chat_id], steps.get(g.id)) for g in groups])
    applied = [(id_, event) for id_, step in steps.items() for event in step.applied]
    leave([(id_, e, m) for id_, e in applied if e.fact is GroupFact.LEFT for m in e.member_ids])
    _join([(id_, e, m) for id_, e in applied if e.fact is GroupFact.JOINED for m in e.member_ids])
    dismissals = {g.id: _newest(by_chat[g.chat_id], GroupFact.DISMISSED) for g in groups}
    close_groups({id_: at for id_, at in dismissals.items() if at is not None})


def _is_alive(group: Any) -> bool:
    return str(group.status) != GroupStatus.DISMISSED


_LOCK = text("""
INSERT INTO customer_groups AS g (chat_id) SELECT unnest(CAST(:chat_ids AS text[]))
ON CONFLICT (chat_id) DO UPDATE SET chat_id = g.chat_id
RETURNING g.id, g.chat_id, g.member_version, g.status
""")


def follow_chain(version: str | None, events: Sequence[GroupEvent]) -> Step:
    """Which joins and leaves follow on ``version`` one after the other, and where that ends.

    Stops where the chain breaks, where WeCom named nobody, or where the same person appears again (their order within
    one second is not known well enough); the rest is for reading the group.
    """
    open_ = [event for event in events if event.versions is not None]
    rest = {event.versions for event in open_}
    applied: list[GroupEvent] = []
    people: set[str] = set()
    while (event := _following(open_, version)) is not None and people.isdisjoint(event.member_ids):
        applied.append(event)
        people.update(event.member_ids)
        version = event.versions[1] if event.versions else None
        rest.discard(event.versions)
        open_ = [other for other in open_ if other.versions != event.versions]
    tips = {pair[1] for pair in rest if pair} - {pair[0] for pair in rest if pair} - {version}
    return Step(tuple(applied), version, min(tips, default=None))


def _following(events: Sequence[GroupEvent], version: str | None) -> GroupEvent | None:
    fitting = (e for e in events if e.versions and version and e.versions[0] == version and e.member_ids)
    return next(fitting, None)


def _newest(events: Sequence[GroupEvent], fact: GroupFact) -> datetime | None:
    return max((event.at for event in events if event.fact is fact), default=None)


def _group_row(group: Any, events: Sequence[GroupEvent], step: Step | None) -> dict[str, Any]:
    founded = min((event.at for event in events if event.fact is GroupFact.FOUNDED), default=None)
    row: dict[str, Any] = {"id": group.id, "founded_at": founded, "member_version": group.member_version}
    if step is None:
        return row
    now = utcnow()
    unread = len(step.applied) < len(events)
    return {
        **row,
        "member_version": step.version,
        **_expected(step, events),
        "wanted_at": max(now, *(event.at + EVENT_RESOLUTION for event in events)),
        "after": now + (SOON if unread else LATER),
    }


def _expected(step: Step, events: Sequence[GroupEvent]) -> dict[str, Any]:
    """The version WeCom must show at least, and the time of the event that told it."""
    version = step.expected or (step.version if step.applied else None)
    times = [event.at for event in events if event.versions and event.versions[1] == version]
    return {"expected_version": version, "expected_at": max(times)} if times else {}


def _write_groups(rows: Sequence[dict[str, Any]]) -> None:
    written = session().execute(_WRITE, {"rows": orjson.dumps(rows).decode()}).all()
    publish(*(GroupChanged(row.id, "founded", row.founded_at) for row in written if row.is_founded))


_NEWER = "r.expected_at >= GREATEST(g.expected_at, g.refreshed_at - interval '10 s', '-infinity')"
"""A late event names a version that WeCom has left behind; what was read 10 s after an event holds it."""
_WRITE = text(f"""
UPDATE customer_groups g SET founded_at = COALESCE(g.founded_at, r.founded_at),
  member_version = r.member_version,
  expected_version = CASE WHEN {_NEWER} THEN r.expected_version ELSE g.expected_version END,
  expected_at = CASE WHEN {_NEWER} THEN r.expected_at ELSE g.expected_at END,
  refresh_wanted_at = GREATEST(g.refresh_wanted_at, r.wanted_at), updated_at = now(),
  refresh_after = CASE WHEN r.after IS NULL OR g.refresh_attempts > 0 THEN g.refresh_after
    WHEN g.refresh_wanted_at IS NULL THEN r.after ELSE LEAST(COALESCE(g.refresh_after, r.after), r.after) END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, founded_at timestamptz, member_version text,
  expected_version text, expected_at timestamptz, wanted_at timestamptz, after timestamptz)
WHERE g.id = r.id
RETURNING new.id, new.founded_at, old.founded_at IS NULL AND new.founded_at IS NOT NULL AS is_founded
""")  # noqa: S608  # constants of this module

Change = tuple[int, GroupEvent, str]
"""(group id, event, member id)"""


def _rows(changes: Sequence[Change]) -> str:
    rows = [
        {"group_id": group_id, "member_id": member_id, "at": event.at, "scene": event.scene}
        for group_id, event, member_id in sorted(changes, key=lambda c: (c[0], c[2]))
    ]
    return orjson.dumps(rows).decode()


_CHANGES = "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(group_id bigint, member_id text, at timestamptz, scene bigint)"


def leave(changes: Sequence[Change]) -> None:
    """End the present stays of these members."""
    if changes:
        tell_leaves(session().execute(_LEAVE, {"rows": _rows(changes)}).all())


_LEAVE = text(f"""
UPDATE group_stays s SET left_at = GREATEST(r.at, s.joined_at), quit_scene = r.scene FROM {_CHANGES}
WHERE s.group_id = r.group_id AND s.member_id = r.member_id AND s.left_at IS NULL
RETURNING s.id, s.group_id, s.customer_id, s.left_at
""")  # noqa: S608  # constants of this module


def tell_leaves(stays: Sequence[Any]) -> None:
    """Publish GroupLeft for rows with id, group_id, customer_id, left_at."""
    publish(*(GroupLeft(row.group_id, row.id, row.customer_id, row.left_at) for row in stays))


def tell_joins(stays: Sequence[Any]) -> None:
    """Publish GroupJoined for rows with id, group_id, customer_id, joined_at."""
    publish(*(GroupJoined(row.group_id, row.id, row.customer_id, row.joined_at) for row in stays))


def _join(changes: Sequence[Change]) -> None:
    if changes:
        tell_joins(session().execute(_JOIN, {"rows": _rows(changes)}).all())


LINKS = """
  (SELECT id FROM staff WHERE lower(userid) = lower(r.member_id)),
  (SELECT id FROM customers WHERE external_userid = r.member_id)"""
"""Who a member is, where known; by table name, because customers are no business of this package."""

_JOIN = text(f"""
INSERT INTO group_stays (group_id, member_id, joined_at, member_type, staff_id, customer_id)
SELECT r.group_id, r.member_id, r.at,
  CASE WHEN r.member_id ~ '^w[mo]' AND NOT EXISTS (SELECT FROM staff WHERE lower(userid) = lower(r.member_id))
  THEN 2 ELSE 1 END, {LINKS}
FROM {_CHANGES}
WHERE NOT EXISTS (SELECT FROM group_stays s
  WHERE s.group_id = r.group_id AND s.member_id = r.member_id AND s.left_at IS NULL)
ON CONFLICT (group_id, member_id, joined_at) DO NOTHING
RETURNING id, group_id, customer_id, joined_at
""")  # noqa: S608  # constants of this module


def close_groups(dismissed: dict[int, datetime]) -> None:
    """Dismiss groups and end all present stays in them."""
    ended = end_groups(dismissed)
    publish(*(GroupChanged(row.id, "dismissed", row.dismissed_at) for row in ended.groups))
    tell_leaves(ended.left)


@dataclass(frozen=True, slots=True)
class Ended:
    """Groups that were dismissed (id, dismissed_at) and stays that ended (id, group_id, customer_id, left_at)."""

    groups: Sequence[Any] = ()
    left: Sequence[Any] = ()


def end_groups(dismissed: dict[int, datetime]) -> Ended:
    """Like :func:`close_groups`, and tells nobody: a full sync found what happened at some time before."""
    if not dismissed:
        return Ended()
    rows = [{"id": id_, "at": at} for id_, at in sorted(dismissed.items())]
    values = {"rows": orjson.dumps(rows).decode()}
    return Ended(session().execute(_DISMISS, values).all(), session().execute(_EMPTY, values).all())


_DISMISS = text(f"""
UPDATE customer_groups g SET status = '{GroupStatus.DISMISSED}', dismissed_at = r.at, refresh_wanted_at = NULL,
  refresh_after = NULL, refresh_failed = NULL, refresh_attempts = 0, expected_version = NULL, updated_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, at timestamptz)
WHERE g.id = r.id AND g.status <> '{GroupStatus.DISMISSED}' RETURNING g.id, g.dismissed_at
""")  # noqa: S608  # constants of this module
_EMPTY = text("""
UPDATE group_stays s SET left_at = GREATEST(r.at, s.joined_at)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, at timestamptz)
WHERE s.group_id = r.id AND s.left_at IS NULL RETURNING s.id, s.group_id, s.customer_id, s.left_at
""")
