"""Customer groups and the stays of their members."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.groups.service.details import (
    LAG,
    SAME_STAY,
    Reconciled,
    ensure_groups,
    want_groups,
    write_groups,
)
from scrm.groups.service.parsing import group_from
from scrm.groups.service.recording import end_groups
from scrm.kernel.db import session
from scrm.portraits.service import note_stays
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import parts, staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.pages import NewPart, chunks
from scrm.sync.service.tally import counted

ASKED_ONCE_MORE = 100  # groups in one part of second looks


def compare_list(run: SyncRun, part: SyncPart) -> Done:
    """Note groups that no list showed, once, when every list was read whole; each is asked about by itself."""
    if run.members or part.keys or not parts.all_read(run.id, "group_list"):
        return Done()
    shown = {item.key for item in staging.items_of(run.id, "group_ids")}
    living = select(CustomerGroup.id, CustomerGroup.chat_id).where(
        CustomerGroup.status == GroupStatus.NORMAL, CustomerGroup.refreshed_at.is_not(None),
        CustomerGroup.updated_at < part.started_at,
    )  # fmt: skip
    missing = [(row.id, row.chat_id) for row in session().execute(living) if row.chat_id not in shown]
    staging.miss(part.id, "groups", missing)
    keys = [chat_id for _, chat_id in missing]
    return Done(parts=[NewPart("missing_groups", some) for some in chunks(keys, ASKED_ONCE_MORE)])


def compare_again(run: SyncRun, part: SyncPart) -> Done:
    """Only groups that WeCom itself does not know any more are gone; the others belong to somebody unseen."""
    gone = {item.key for item in staging.items_of_part(part.id, "groups_gone")}
    kept = [key for key in part.keys if key not in gone]
    session().execute(_KEEP, {"keys": kept})
    return Done()


_KEEP = text("DELETE FROM sync_missing WHERE entity = 'groups' AND key = ANY(CAST(:keys AS text[]))")

_SHOWN = """
WITH g AS MATERIALIZED (
  SELECT DISTINCT ON (key) key AS chat_id, body, asked_at FROM sync_items
  WHERE part_id = :part AND entity = 'groups' ORDER BY key, asked_at DESC),
m AS MATERIALIZED (
  SELECT g.chat_id, x.userid AS member_id, x.type AS member_type, to_timestamp(x.join_time) AS joined_at, x.join_scene,
    x.invitor->>'userid' AS invitor_userid, NULLIF(x.state, '') AS state, x.name,
    NULLIF(x.group_nickname, '') AS group_nickname, x.unionid
  FROM g CROSS JOIN LATERAL jsonb_to_recordset(g.body->'member_list') AS x(userid text, type bigint, join_time bigint,
    join_scene bigint, invitor jsonb, state text, name text, group_nickname text, unionid text)),
known AS MATERIALIZED (
  SELECT c.*, g.body, g.asked_at, o.id AS shown_owner FROM g JOIN customer_groups c USING (chat_id)
  LEFT JOIN staff o ON lower(o.userid) = lower(g.body->>'owner')
  WHERE c.status = 'normal' AND c.updated_at < g.asked_at)"""
_MISS_STAYS = text(f"""{_SHOWN}
INSERT INTO sync_missing (part_id, entity, subject, key)
SELECT :part, 'group_members', s.id, k.chat_id FROM known k JOIN group_stays s ON s.group_id = k.id AND s.left_at IS NULL
WHERE s.joined_at < k.asked_at - CAST(:lag AS interval)
AND NOT EXISTS (SELECT FROM m WHERE m.chat_id = k.chat_id AND m.member_id = s.member_id)
""")  # noqa: S608  # constants of this module
_DIFFERING = text(f"""{_SHOWN},
joining AS (
  SELECT DISTINCT k.chat_id FROM known k JOIN m USING (chat_id)
  LEFT JOIN group_stays s ON s.group_id = k.id AND s.member_id = m.member_id AND s.left_at IS NULL
  WHERE s.id IS NULL OR m.joined_at > s.joined_at + CAST(:same AS interval)
  OR (s.member_type, s.join_scene, s.invitor_userid, s.state, s.name, s.group_nickname, s.unionid) IS DISTINCT FROM
    (m.member_type, m.join_scene, m.invitor_userid, m.state, COALESCE(m.name, s.name), m.group_nickname,
     COALESCE(m.unionid, s.unionid)))
SELECT g.chat_id, k.member_version, k.id IS NULL AS is_new FROM g LEFT JOIN known k USING (chat_id)
WHERE (k.id IS NULL AND NOT EXISTS (SELECT FROM customer_groups c WHERE c.chat_id = g.chat_id))
OR k.refreshed_at IS NULL OR k.expected_version IS NOT NULL
OR (k.name, k.notice, k.member_version) IS DISTINCT FROM
  (g.body->>'name', g.body->>'notice', g.body->>'member_version')
OR (k.shown_owner IS NOT NULL AND k.owner_staff_id IS DISTINCT FROM k.shown_owner)
OR (k.shown_owner IS NULL AND g.body->>'owner' <> '' AND k.id IS NOT NULL)
OR EXISTS (SELECT FROM joining j WHERE j.chat_id = g.chat_id)
OR EXISTS (SELECT FROM sync_missing x WHERE x.part_id = :part AND x.entity = 'group_members' AND x.key = g.chat_id)
ORDER BY g.chat_id
""")  # noqa: S608  # constants of this module


def compare(run: SyncRun, part: SyncPart) -> Done:
    """Note stays of ours that their groups no longer show; so that very many do not end unasked."""
    session().execute(_MISS_STAYS, {"part": part.id, "lag": LAG})
    return Done()


def apply(run: SyncRun, part: SyncPart) -> Done:
    """Write the groups of this part that are new or differ, with their stays."""
    items = {item.key: item for item in staging.items_of_part(part.id, "groups")}
    differing = session().execute(_DIFFERING, {"part": part.id, "same": SAME_STAY}).all()
    known = {row.chat_id: row.member_version for row in differing}
    ensure_groups(row.chat_id for row in differing if row.is_new)
    seen = [group_from(items[chat_id].body, version) for chat_id, version in known.items()]
    # the oldest question of the part: what anybody wrote after it stays
    done = write_groups(seen, min(items[c].asked_at for c in known)) if known else Reconciled()
    _want_unread(part)
    members = sum(len(item.body.get("member_list") or []) for item in items.values())
    new = [row.chat_id for row in differing if row.is_new]
    session().execute(_FORGET, {"part": part.id})
    tally = {
        "groups": counted(seen=len(items), new=len(new), changed=len(differing) - len(new), new_ids=new,
                          changed_ids=[row.chat_id for row in differing if not row.is_new]),
        "group_members": counted(seen=members, new=len(done.joined), changed=len(done.completed),
                                 gone=len(done.left), new_ids=_ids(done.joined), gone_ids=_ids(done.left)),
    }  # fmt: skip
    return Done(tally, customer_ids=_tell_timelines(done))


_FORGET = text("DELETE FROM sync_missing WHERE part_id = :part AND entity = 'group_members'")


def _ids(rows: Iterable[Any]) -> list[int]:
    return [row.id for row in rows]


def _want_unread(part: SyncPart) -> None:
    """Groups that are listed and could not be read are read again by themselves, later."""
    want_groups(parts.failed_keys(part))


def _tell_timelines(done: Reconciled) -> set[int]:
    """Joins and leaves stand on the timelines of customers, at their own times; returns these customers."""
    joined = [row for row in done.joined if row.customer_id is not None]
    left = [row for row in done.left if row.customer_id is not None]
    note_stays(joined, left)
    return {row.customer_id for row in (*joined, *left)}


def close(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Groups are dissolved; who was in them is no longer."""
    at: datetime | None = part.started_at
    if at is None:
        return Done()
    names = select(CustomerGroup.id).where(CustomerGroup.id.in_(ids), CustomerGroup.updated_at < at)
    ended = end_groups(dict.fromkeys(session().scalars(names), at.replace(microsecond=0)))
    customers = _tell_timelines(Reconciled(left=ended.left))
    return Done(
        {"groups": counted(gone=len(ended.groups), gone_ids=_ids(ended.groups))}, customer_ids=customers
    )
