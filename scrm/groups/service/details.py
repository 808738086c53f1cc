"""Writing what WeCom shows of customer groups when it is asked (groupchat/get)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from scrm.groups.events import GroupChanged, JoinWayKnown
from scrm.groups.models import GroupStatus
from scrm.groups.service.recording import LINKS, tell_joins, tell_leaves
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.service import ensure_staff

LAG = timedelta(seconds=10)  # who joined so recently may not be shown yet
SAME_STAY = timedelta(seconds=10)  # the event's time and WeCom's join_time of one join differ by less
LAG_ATTEMPTS = 5  # 1, 2, 4, 8, 16 seconds; then what is shown is taken for the truth
BACKOFF_MAX = 3600  # seconds


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """A member of a group as WeCom shows it; ``member_type`` 1 member of the corp, 2 external."""

    member_id: str
    member_type: int
    joined_at: datetime
    join_scene: int | None = None
    invitor_userid: str | None = None
    state: str | None = None
    name: str | None = None
    group_nickname: str | None = None
    unionid: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group as WeCom shows it at one moment; ``stored_version``: ours before the question was asked."""

    chat_id: str
    name: str | None
    notice: str | None
    owner_userid: str | None
    founded_at: datetime | None
    version: str | None
    members: tuple[MemberSeen, ...]
    stored_version: str | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What writing shown groups came to: rows of the statements below, nothing told yet."""

    groups: Sequence[Any] = ()
    left: Sequence[Any] = ()
    completed: Sequence[Any] = ()
    joined: Sequence[Any] = ()


def apply_groups(seen: Sequence[GroupSeen], asked_at: datetime) -> None:
    """Write shown groups and reconcile their stays; tells real differences, each once.

    A group that changed while it was read, or that WeCom shows in an older state than its event told, is read again.
    """
    done = write_groups(seen, asked_at)
    for row in done.groups:
        at = row.founded_at if row.changed == ["founded"] else asked_at
        publish(*(GroupChanged(row.id, change, at) for change in row.changed))
    tell_leaves(done.left)
    _tell_join_ways(done.completed)
    tell_joins(done.joined)


def write_groups(seen: Sequence[GroupSeen], asked_at: datetime) -> Reconciled:
    """Like :func:`apply_groups`, and tells nobody: a full sync found what happened at some time before."""
    if not seen:
        return Reconciled()
    by_chat = {group.chat_id: group for group in seen}
    rows = session().execute(_LOCK, {"chat_ids": sorted(by_chat)}).all()
    alive = [row for row in rows if row.status != GroupStatus.DISMISSED]
    current = [row for row in alive if row.member_version == by_chat[row.chat_id].stored_version]
    behind = [row for row in current if _is_behind(row, by_chat[row.chat_id])]
    ask_groups_again([row.id for row in behind])
    good = {row.id: by_chat[row.chat_id] for row in current if row not in behind}
    if not good:
        return Reconciled()
    groups = _write_groups(good, asked_at)
    return Reconciled(groups, *_reconcile(good, asked_at))


def _is_behind(row: Any, group: GroupSeen) -> bool:
    waits = row.expected_version is not None and row.expected_version != group.version
    return waits and row.refresh_attempts < LAG_ATTEMPTS


_LOCK = text("""
SELECT id, chat_id, member_version, expected_version, status, refresh_attempts FROM customer_groups
WHERE chat_id = ANY(CAST(:chat_ids AS text[])) ORDER BY chat_id FOR UPDATE
""")


def _write_groups(groups: Mapping[int, GroupSeen], asked_at: datetime) -> Sequence[Any]:
    owners = ensure_staff(group.owner_userid for group in groups.values() if group.owner_userid)
    rows = [
        {
            "id": id_,
            "name": group.name,
            "notice": group.notice,
            "owner_staff_id": owners.get((group.owner_userid or "").casefold()),
            "founded_at": group.founded_at,
            "version": group.version,
        }
        for id_, group in sorted(groups.items())
    ]
    return session().execute(_WRITE, {"rows": orjson.dumps(rows).decode(), "asked_at": asked_at}).all()


_WRITE = text("""
UPDATE customer_groups g SET name = r.name, notice = r.notice,
  owner_staff_id = COALESCE(r.owner_staff_id, g.owner_staff_id), founded_at = COALESCE(r.founded_at, g.founded_at),
  member_version = r.version, expected_version = NULL, refreshed_at = :asked_at, refresh_failed = NULL,
  refresh_attempts = 0, updated_at = now(),
  refresh_wanted_at = CASE WHEN g.refresh_wanted_at > :asked_at THEN g.refresh_wanted_at END,
  refresh_after = CASE WHEN g.refresh_wanted_at > :asked_at THEN g.refresh_after END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, name text, notice text, owner_staff_id bigint,
  founded_at timestamptz, version text)
WHERE g.id = r.id
RETURNING new.id, new.founded_at, array_remove(ARRAY[
  CASE WHEN old.founded_at IS NULL AND new.founded_at IS NOT NULL THEN 'founded' END,
  CASE WHEN old.refreshed_at IS NOT NULL AND old.name IS DISTINCT FROM new.name THEN 'name' END,
  CASE WHEN old.refreshed_at IS NOT NULL AND old.notice IS DISTINCT FROM new.notice THEN 'notice' END,
  CASE WHEN old.refreshed_at IS NOT NULL AND old.owner_staff_id IS DISTINCT FROM new.owner_staff_id THEN 'owner' END
  ], NULL) AS changed
""")


def _reconcile(groups: Mapping[int, GroupSeen], asked_at: datetime) -> list[Sequence[Any]]:
    """Make the present stays exactly those shown: close, complete, add; returns the rows of each."""
    rows = [
        {"group_id": id_, **asdict(member)}
        for id_, group in sorted(groups.items())
        for member in sorted(group.members, key=lambda m: m.member_id)
    ]
    values = {
        "rows": orjson.dumps(rows).decode(),
        "ids": sorted(groups),
        "second": asked_at.replace(microsecond=0),
        "recent": asked_at - LAG,
        "same": SAME_STAY,
    }
    return [session().execute(statement, values).all() for statement in (_CLOSE, _COMPLETE, _ADD)]


def _tell_join_ways(stays: Sequence[Any]) -> None:
    publish(
        *(
            JoinWayKnown(row.group_id, row.id, row.customer_id, row.state)
            for row in stays
            if row.has_new_state
        )
    )


_R = """r AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(group_id bigint, member_id text,
  member_type bigint, joined_at timestamptz, join_scene bigint, invitor_userid text, state text, name text,
  group_nickname text, unionid text))"""
_CLOSE = text(f"""
WITH {_R}, ended AS (
  SELECT s.id, CASE WHEN r.member_id IS NULL THEN GREATEST(:second, s.joined_at) ELSE r.joined_at END AS at
  FROM group_stays s LEFT JOIN r ON r.group_id = s.group_id AND r.member_id = s.member_id
  WHERE s.group_id = ANY(CAST(:ids AS bigint[])) AND s.left_at IS NULL
  AND ((r.member_id IS NULL AND s.joined_at < :recent) OR r.joined_at > s.joined_at + :same))
UPDATE group_stays s SET left_at = ended.at FROM ended WHERE s.id = ended.id
RETURNING s.id, s.group_id, s.customer_id, s.left_at
""")  # noqa: S608  # constants of this module
_COMPLETE = text(f"""
WITH {_R}
UPDATE group_stays s SET member_type = r.member_type, join_scene = r.join_scene, invitor_userid = r.invitor_userid,
  state = r.state, name = COALESCE(r.name, s.name), group_nickname = r.group_nickname, left_at = NULL,
  quit_scene = NULL, unionid = COALESCE(r.unionid, s.unionid)
FROM r WHERE s.group_id = r.group_id AND s.member_id = r.member_id
AND (s.left_at IS NULL OR (s.left_at < :recent AND s.joined_at BETWEEN r.joined_at - :same AND r.joined_at + :same
  AND NOT EXISTS (SELECT FROM group_stays o WHERE o.group_id = s.group_id AND o.member_id = s.member_id
    AND o.id <> s.id AND (o.left_at IS NULL OR o.joined_at > s.joined_at))))
AND (s.member_type, s.join_scene, s.invitor_userid, s.state, s.name, s.group_nickname, s.left_at, s.quit_scene, s.unionid)
  IS DISTINCT FROM (r.member_type, r.join_scene, r.invitor_userid, r.state, COALESCE(r.name, s.name),
    r.group_nickname, NULL, NULL, COALESCE(r.unionid, s.unionid))
RETURNING new.id, new.group_id, new.customer_id, new.state,
  new.state IS NOT NULL AND old.state IS DISTINCT FROM new.state AS has_new_state
""")  # noqa: S608  # constants of this module
_ADD = text(f"""
WITH {_R}
INSERT INTO group_stays (group_id, member_id, member_type, joined_at, join_scene, invitor_userid, state, name,
  group_nickname, unionid, staff_id, customer_id)
SELECT r.group_id, r.member_id, r.member_type, r.joined_at, r.join_scene, r.invitor_userid, r.state, r.name,
  r.group_nickname, r.unionid, {LINKS}
FROM r WHERE NOT EXISTS (SELECT FROM group_stays s WHERE s.group_id = r.group_id AND s.member_id = r.member_id
  AND (s.left_at IS NULL OR s.joined_at BETWEEN r.joined_at - :same AND r.joined_at + :same))
ON CONFLICT (group_id, member_id, joined_at) DO NOTHING
RETURNING id, group_id, customer_id, joined_at
""")  # noqa: S608  # constants of this module


def ensure_groups(chat_ids: Iterable[str]) -> None:
    """Make rows for groups never heard of; nothing is asked."""
    session().execute(_ENSURE, {"chat_ids": sorted(chat_ids)})


_ENSURE = text("""
INSERT INTO customer_groups (chat_id) SELECT unnest(CAST(:chat_ids AS text[])) ON CONFLICT (chat_id) DO NOTHING
""")


def want_groups(chat_ids: Iterable[str]) -> None:
    """Have these groups read from WeCom; who was never heard of gets a row. Dismissed ones are left alone."""
    if wanted := sorted({chat_id for chat_id in chat_ids if chat_id}):
        session().execute(_WANT, {"chat_ids": wanted, "now": utcnow()})


_WANT = text(f"""
INSERT INTO customer_groups AS g (chat_id, refresh_wanted_at) SELECT unnest(CAST(:chat_ids AS text[])), :now
ON CONFLICT (chat_id) DO UPDATE SET refresh_wanted_at = GREATEST(g.refresh_wanted_at, excluded.refresh_wanted_at)
WHERE g.status <> '{GroupStatus.DISMISSED}'
""")  # constants of this module


def ask_groups_again(group_ids: Sequence[int]) -> None:
    """Read these groups again, later each time: WeCom still shows what was before the event."""
    if group_ids:
        session().execute(_AGAIN, {"ids": sorted(group_ids), "now": utcnow()})


_AGAIN = text("""
UPDATE customer_groups SET refresh_wanted_at = GREATEST(refresh_wanted_at, :now),
  refresh_attempts = refresh_attempts + 1,
  refresh_after = CAST(:now AS timestamptz) + make_interval(secs => power(2.0, LEAST(refresh_attempts, 6)))
WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def note_group_failures(reasons: Mapping[str, str], asked_at: datetime) -> None:
    """Keep why groups could not be read and try again, later each time; nothing is concluded from it."""
    rows = [{"chat_id": chat_id, "reason": reason} for chat_id, reason in sorted(reasons.items())]
    values = {"rows": orjson.dumps(rows).decode(), "asked_at": asked_at, "most": BACKOFF_MAX}
    session().execute(_FAILED, values)


_FAILED = text("""
UPDATE customer_groups g SET refresh_failed = r.reason, refresh_attempts = refresh_attempts + 1,
  refresh_after = CAST(:asked_at AS timestamptz)
    + make_interval(secs => LEAST(CAST(:most AS float), 5 * power(2.0, LEAST(refresh_attempts, 20))))
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(chat_id text, reason text) WHERE g.chat_id = r.chat_id
""")
