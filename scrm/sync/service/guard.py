"""What would vanish is not believed blindly: above a share of an entity a run stops and asks a person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from scrm.alerts.service import Alert, alert
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.sync.models import SyncRun

WORDS = {
    "departments": ("部门", "departments"), "members": ("成员", "members"),
    "follow_users": ("客户联系成员", "members who serve customers"), "tags": ("标签", "tags"),
    "follows": ("客户关系", "relations"), "customer_tags": ("客户标签", "tags of customers"), "groups": ("客户群", "groups"),
    "group_members": ("群成员", "members of groups"), "contact_ways": ("渠道活码", "contact ways"),
    "join_ways": ("群活码", "join ways"), "group_templates": ("入群欢迎语", "entry welcomes"),
    "kf_accounts": ("客服账号", "customer service accounts"),
}  # fmt: skip


def look(run: SyncRun) -> dict[str, Any]:
    """Entities of which too much would vanish: ``{entity: {"gone", "of", "share"}}``.

    The share is of what we and WeCom know together: rows that are missing, of those and the rows WeCom showed.
    """
    conf = settings().sync
    held = {}
    for row in session().execute(_GONE, {"run": run.id}):
        of = row.gone + row.shown
        if row.gone > conf.shrink_min and row.gone > conf.shrink_share * of:
            held[row.entity] = {"gone": row.gone, "of": of, "share": round(row.gone / of, 4)}
    return held


_GONE = text("""
WITH missing AS (
  SELECT m.entity, count(*) AS gone FROM sync_missing m JOIN sync_parts p ON p.id = m.part_id WHERE p.run_id = :run
  GROUP BY 1),
items AS (
  SELECT i.entity, count(DISTINCT i.key) AS shown,
    sum(CASE WHEN i.entity = 'groups' THEN jsonb_array_length(COALESCE(i.body->'member_list', '[]')) END) AS members,
    sum(CASE WHEN i.entity = 'tag_groups' THEN jsonb_array_length(i.body->'tag') END) AS tags
  FROM sync_items i JOIN sync_parts p ON p.id = i.part_id WHERE p.run_id = :run GROUP BY 1),
follows AS (
  SELECT count(*) AS shown, sum(cardinality(s.tag_ids)) AS tags FROM sync_follows s JOIN sync_parts p ON p.id = s.part_id
  WHERE p.run_id = :run AND EXISTS (SELECT FROM missing WHERE entity IN ('follows', 'customer_tags')))
SELECT entity, gone, CAST(COALESCE(CASE entity
    WHEN 'follows' THEN (SELECT shown FROM follows) WHEN 'customer_tags' THEN (SELECT tags FROM follows)
    WHEN 'group_members' THEN (SELECT members FROM items WHERE items.entity = 'groups')
    WHEN 'groups' THEN (SELECT shown FROM items WHERE items.entity = 'group_ids')
    WHEN 'tags' THEN (SELECT tags FROM items WHERE items.entity = 'tag_groups')
    WHEN 'members' THEN (SELECT sum(shown) FROM items WHERE items.entity IN ('members', 'member_ids'))
    ELSE (SELECT shown FROM items WHERE items.entity = missing.entity) END, 0) AS bigint) AS shown
FROM missing ORDER BY entity
""")


def held_entities(run: SyncRun) -> set[str]:
    """Entities of which nothing is ended before a person says so."""
    return set() if run.confirmed_at is not None else set(run.guard)


def tell(run: SyncRun) -> None:
    """Tell the operators that a run waits for them."""
    zh = "、".join(f"{WORDS[name][0]} {row['gone']}/{row['of']}" for name, row in sorted(run.guard.items()))
    en = ", ".join(
        f"{row['gone']} of {row['of']} {WORDS[name][1]}" for name, row in sorted(run.guard.items())
    )
    alert(
        [
            Alert(
                kind="sync_stopped",
                key=f"sync_stopped:{run.id}",
                zh=f"同步 {run.id} 已暂停：{zh} 将被标记为消失。确认请执行 scrm sync confirm {run.id}，放弃请执行 scrm sync cancel {run.id}",
                en=f"Sync {run.id} has stopped: {en} would vanish. `scrm sync confirm {run.id}` goes on, "
                f"`scrm sync cancel {run.id}` leaves them",
                operators=True,
            )
        ]
    )
