"""Members who left with customers or groups that nobody looks after yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import exists, select, text

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.paging import paginate
from scrm.kernel.permissions import Scope
from scrm.transfers.models import OPEN_ITEMS, TransferItem, UnassignedCustomer
from tags.arrays import is_one_of


def left_members(scope: Scope | None = None) -> list[dict[str, Any]]:
    """Members who left and still have customers or groups, longest gone first, with ages in days and what is planned.

    :param scope: these members only; None: all, for the program itself
    """
    everyone = scope is None or scope.everyone
    values = {"now": utcnow(), "everyone": everyone, "ids": [] if scope is None else sorted(scope.staff_ids)}
    return [dict(row._mapping) for row in session().execute(_LEFT, values)]


_LEFT = text("""
WITH people AS (
  SELECT u.staff_id, count(*) AS customers, min(u.left_at) AS left_at,
    count(*) FILTER (WHERE i.state = 'planned') AS planned, count(*) FILTER (WHERE i.state IN ('asked', 'waiting')) AS waiting,
    count(*) FILTER (WHERE i.id IS NULL) AS unplanned
  FROM unassigned_customers u LEFT JOIN transfer_items i ON i.customer_id = u.customer_id
    AND i.from_staff_id = u.staff_id AND i.state IN ('planned', 'asked', 'waiting')
  WHERE u.resolved_at IS NULL GROUP BY 1),
chats AS (
  SELECT g.owner_staff_id AS staff_id, count(*) AS groups, count(*) FILTER (WHERE i.id IS NULL) AS unplanned
  FROM customer_groups g JOIN staff s ON s.id = g.owner_staff_id AND s.left_at IS NOT NULL
  LEFT JOIN transfer_items i ON i.group_id = g.id AND i.state IN ('planned', 'asked', 'waiting')
  WHERE g.status = 'normal' GROUP BY 1),
back AS (
  SELECT i.from_staff_id AS staff_id, count(*) AS back FROM transfer_items i JOIN unassigned_customers u
    ON u.customer_id = i.customer_id AND u.staff_id = i.from_staff_id AND u.resolved_at IS NULL
  WHERE i.state = 'back' GROUP BY 1)
SELECT s.id AS staff_id, s.userid, s.name, COALESCE(s.left_at, p.left_at) AS left_at,
  CAST(floor(EXTRACT(epoch FROM CAST(:now AS timestamptz) - COALESCE(s.left_at, p.left_at)) / 86400) AS bigint) AS age_days,
  COALESCE(p.customers, 0) AS customers, COALESCE(p.unplanned, 0) AS customers_unplanned,
  COALESCE(p.planned, 0) AS customers_planned, COALESCE(p.waiting, 0) AS customers_waiting,
  COALESCE(b.back, 0) AS customers_back, COALESCE(c.groups, 0) AS groups, COALESCE(c.unplanned, 0) AS groups_unplanned,
  (SELECT max(d.id) FROM transfer_plans d WHERE d.from_staff_id = s.id AND d.kind = 'resigned' AND d.state = 'draft')
    AS draft_plan_id
FROM staff s LEFT JOIN people p ON p.staff_id = s.id LEFT JOIN chats c ON c.staff_id = s.id
LEFT JOIN back b ON b.staff_id = s.id
WHERE (p.staff_id IS NOT NULL OR c.staff_id IS NOT NULL) AND s.userid NOT LIKE '%#%'
AND (:everyone OR s.id = ANY(CAST(:ids AS bigint[]))) ORDER BY left_at, s.id
""")


def unassigned_page(scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of the customers themselves; ``staff_id`` and ``planned`` narrow it."""
    u = UnassignedCustomer
    open_item = exists().where(
        TransferItem.customer_id == u.customer_id,
        TransferItem.from_staff_id == u.staff_id,
        TransferItem.state.in_(OPEN_ITEMS),
    )
    statement: Any = (
        select(
            u.staff_id,
            u.customer_id,
            Customer.external_userid,
            u.left_at,
            u.found_at,
            u.listed_at,
            open_item.label("planned"),
        )
        .join(Customer, Customer.id == u.customer_id)
        .where(u.resolved_at.is_(None))
    )
    if not scope.everyone:
        statement = statement.where(is_one_of(u.staff_id, scope.staff_ids))
    if (staff_id := query.get("staff_id")) is not None:
        statement = statement.where(u.staff_id == staff_id)
    if (planned := query.get("planned")) is not None:
        statement = statement.where(open_item if planned else ~open_item)
    return paginate(statement, u.id, query)
