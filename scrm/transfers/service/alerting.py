"""Telling people: about customers that nobody looks after, by age, and about those that came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.transfers.queries.unassigned import left_members

KIND = "transfer_waiting"
WEEK = 7


def step_of(age_days: int, days: Sequence[int]) -> int | None:
    """The newest of the configured ages that is reached; after the last one every week. None: not yet."""
    reached = [day for day in days if day <= age_days]
    if not reached:
        return None
    last = max(days)
    return age_days - (age_days - last) % WEEK if age_days > last else max(reached)


def tell_waiting() -> int:
    """Tell leaders and operators of members who left and whose customers or groups are in no plan; once per age.

    :returns: how many members that is about
    """
    days = settings().transfers.alert_days
    told = []
    for row in left_members():
        step = step_of(row["age_days"], days) if days else None
        if step is not None and (row["customers_unplanned"] or row["groups_unplanned"]):
            told.append(_waiting(row, step))
    alert(told)
    return len(told)


def _waiting(row: dict[str, Any], step: int) -> Alert:
    who, customers, groups = row["name"] or row["userid"], row["customers_unplanned"], row["groups_unplanned"]
    draft_zh = f"，计划草稿 #{row['draft_plan_id']} 待启动" if row["draft_plan_id"] else "，请创建转接计划"
    draft_en = (
        f"draft plan #{row['draft_plan_id']} waits to be started"
        if row["draft_plan_id"]
        else "make a transfer plan"
    )
    return Alert(
        kind=KIND,
        key=f"{KIND}:{row['staff_id']}:{row['left_at']:%Y%m%d%H%M%S}:{step}",
        zh=f"{who} 离职 {row['age_days']} 天，仍有 {customers} 位客户、{groups} 个客户群未分配{draft_zh}。",
        en=f"{who} left {row['age_days']} days ago; {customers} customers and {groups} groups are unassigned: {draft_en}.",
        managers_of=(row["staff_id"],),
        operators=True,
    )


def tell_back(plan_ids: Sequence[int]) -> None:
    """Tell of a resigned member's customers whom every receiver was tried for; once a plan and day."""
    day = in_zone(utcnow(), settings().corp.zone).date()
    rows = session().execute(_BACK, {"ids": sorted(set(plan_ids))}).all()
    alert(
        [
            Alert(
                kind=KIND,
                key=f"transfer_back:{row.plan_id}:{day}",
                zh=f"离职继承计划 #{row.plan_id} 有 {row.number} 位客户或客户群未能转出，需人工处理。",
                en=f"Transfer plan #{row.plan_id}: {row.number} customers or groups came back and need a decision.",
                managers_of=(row.from_staff_id,),
                operators=True,
            )
            for row in rows
        ]
    )


_BACK = text("""
SELECT plan_id, from_staff_id, count(*) AS number FROM transfer_items
WHERE plan_id = ANY(CAST(:ids AS bigint[])) AND state = 'back' GROUP BY 1, 2 ORDER BY 1
""")


def tell_paused(plan_ids: Sequence[int]) -> None:
    """Tell of plans that the program paused because WeCom refuses everything."""
    rows = session().execute(_PAUSED, {"ids": sorted(set(plan_ids))}).all()
    alert(
        [
            Alert(
                kind=KIND,
                key=f"transfer_paused:{row.id}:{row.updated_at:%Y%m%d%H%M}",
                zh=f"转接计划 #{row.id} 已自动暂停：{row.error}",
                en=f"Transfer plan #{row.id} was paused: {row.error}",
                operators=True,
            )
            for row in rows
        ]
    )


_PAUSED = text("""
SELECT id, error, updated_at FROM transfer_plans WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'paused'
AND error IS NOT NULL ORDER BY id
""")
