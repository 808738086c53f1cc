"""Whom a member can hand over, and who not and why: the tables that a distribution starts from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, BigInteger, Boolean, DateTime, Text, text

from scrm.kernel.clock import from_zone, in_zone, utcnow
from scrm.kernel.settings import settings
from scrm.transfers.models import PlanKind, Reason, TransferPlan

DAYS, TIMES = 90, 2  # on-job transfers of one customer or group (wecom-api.md section 4.12, 40128)
_SHAPE: dict[str, Any] = {
    "customer_id": BigInteger,
    "group_id": BigInteger,
    "item_id": BigInteger,
    "reason": Text,
    "possible_at": DateTime(timezone=True),
    "together": BigInteger,
    "of_groups": Boolean,
}


def window_start(now: datetime) -> datetime:
    """Midnight of the first of the 90 natural days that end today, in the corp's zone."""
    zone = settings().corp.zone
    first = in_zone(now, zone).date() - timedelta(days=DAYS - 1)
    return from_zone(datetime(first.year, first.month, first.day), zone)  # noqa: DTZ001  # a wall time on purpose


def candidates(plan: TransferPlan) -> CTE:
    """One row per customer and group that the plan could be about.

    :returns: columns ``customer_id`` or ``group_id``, ``item_id`` (empty), ``reason`` (empty: can be handed over),
        ``possible_at`` (when WeCom allows it again), ``together`` (the oldest group of the handing-over member that the
        customer is in, or the group itself) and ``of_groups``
    """
    template = _RESIGNED if plan.kind is PlanKind.RESIGNED else _ON_JOB
    values = {
        "handover": plan.from_staff_id,
        "plan": plan.id,
        "since": window_start(utcnow()),
        "zone": settings().corp.timezone,
        "customers": plan.matter != "groups",
        "groups": plan.matter != "customers",
        "together": bool((plan.rule or {}).get("keep_together")),
    }
    statement = text(f"{template} UNION ALL {_GROUPS}")
    used = {name: value for name, value in values.items() if f":{name}" in statement.text}
    return statement.bindparams(**used).columns(**_SHAPE).cte("candidates")


_TOGETHER = """CASE WHEN :together THEN (SELECT min(s.group_id) FROM group_stays s
    JOIN customer_groups g ON g.id = s.group_id AND g.owner_staff_id = :handover AND g.status = 'normal'
    WHERE s.customer_id = c.customer_id AND s.left_at IS NULL) END"""
_BUSY = f"""EXISTS (SELECT FROM transfer_items i WHERE i.from_staff_id = :handover AND i.customer_id = c.customer_id
    AND i.plan_id <> :plan AND i.state IN ('planned', 'asked', 'waiting')) THEN '{Reason.IN_OTHER_PLAN}'"""
_AGAIN = f"""CASE WHEN cardinality(o.times) >= {TIMES} THEN
    (date_trunc('day', o.times[{TIMES}] AT TIME ZONE :zone) + interval '{DAYS} days') AT TIME ZONE :zone END"""

# Transfers that count: ours that WeCom took on, and those that its events told of, unless they are the same.
_OFTEN = """
SELECT customer_id, array_agg(at ORDER BY at DESC) AS times FROM (
  SELECT i.customer_id, i.accepted_at AS at FROM transfer_items i JOIN transfer_plans p ON p.id = i.plan_id
  WHERE p.kind = 'on_job' AND i.customer_id IS NOT NULL AND i.state IN ('waiting', 'done') AND i.accepted_at >= :since
  UNION ALL
  SELECT f.customer_id, f.deleted_by_staff_at FROM follows f JOIN staff s ON s.id = f.staff_id
  WHERE f.delete_source = 'DELETE_BY_TRANSFER' AND f.deleted_by_staff_at >= :since
  AND (s.left_at IS NULL OR s.left_at > f.deleted_by_staff_at)
  AND NOT EXISTS (SELECT FROM transfer_items i WHERE i.customer_id = f.customer_id AND i.from_staff_id = f.staff_id
    AND i.state IN ('waiting', 'done') AND i.accepted_at <= f.deleted_by_staff_at AND i.accepted_at >= :since)
) AS taken GROUP BY customer_id
"""
_ON_JOB = f"""
SELECT c.customer_id, CAST(NULL AS bigint) AS group_id, CAST(NULL AS bigint) AS item_id, CASE
  WHEN c.status = 'half' THEN '{Reason.HALF_RELATION}' WHEN {_BUSY}
  WHEN cardinality(o.times) >= {TIMES} THEN '{Reason.TOO_OFTEN}' END AS reason,
  {_AGAIN} AS possible_at, {_TOGETHER} AS together, false AS of_groups
FROM (SELECT customer_id, status FROM follows
  WHERE staff_id = :handover AND status IN ('active', 'half') AND :customers) AS c
LEFT JOIN ({_OFTEN}) AS o ON o.customer_id = c.customer_id
"""  # noqa: S608  # constants of this module
_RESIGNED = f"""
SELECT c.customer_id, CAST(NULL AS bigint) AS group_id, CAST(NULL AS bigint) AS item_id, CASE WHEN {_BUSY} END AS reason,
  CAST(NULL AS timestamptz) AS possible_at, {_TOGETHER} AS together, false AS of_groups
FROM (SELECT customer_id FROM unassigned_customers WHERE staff_id = :handover AND resolved_at IS NULL AND :customers
  UNION SELECT customer_id FROM follows WHERE staff_id = :handover AND status = 'active' AND :customers
  EXCEPT SELECT customer_id FROM unassigned_customers WHERE staff_id = :handover AND resolved_at IS NOT NULL) AS c
"""  # noqa: S608  # constants of this module
_GROUPS = f"""
SELECT NULL, g.id, NULL, CASE
  WHEN EXISTS (SELECT FROM transfer_items i WHERE i.group_id = g.id AND i.plan_id <> :plan
    AND i.state IN ('planned', 'asked', 'waiting')) THEN '{Reason.IN_OTHER_PLAN}'
  WHEN cardinality(o.times) >= {TIMES} THEN '{Reason.TOO_OFTEN}' END, {_AGAIN}, g.id, true
FROM customer_groups g LEFT JOIN LATERAL (
  SELECT array_agg(i.accepted_at ORDER BY i.accepted_at DESC) AS times
  FROM transfer_items i JOIN transfer_plans p ON p.id = i.plan_id
  WHERE p.kind = 'on_job' AND i.group_id = g.id AND i.state IN ('waiting', 'done') AND i.accepted_at >= :since) o ON true
WHERE g.owner_staff_id = :handover AND g.status = 'normal' AND :groups
"""  # noqa: S608  # constants of this module


def planned_items(plan: TransferPlan) -> CTE:
    """The items of an active plan that nobody was asked about yet, in the shape of :func:`candidates`."""
    values = {
        "handover": plan.from_staff_id,
        "plan": plan.id,
        "together": bool((plan.rule or {}).get("keep_together")),
    }
    return text(_PLANNED).bindparams(**values).columns(**_SHAPE).cte("candidates")


_PLANNED = f"""
SELECT c.customer_id, c.group_id, c.id AS item_id, CAST(NULL AS text) AS reason, CAST(NULL AS timestamptz) AS possible_at,
  COALESCE(c.group_id, {_TOGETHER}) AS together, c.group_id IS NOT NULL AS of_groups
FROM transfer_items c WHERE c.plan_id = :plan AND c.state = 'planned'
"""  # noqa: S608  # constants of this module
