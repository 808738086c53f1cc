"""Which orders count, in SQL: paid ones that were neither cancelled nor given back whole.

``status`` refunded without an amount means the whole; a partial refund lessens the money. Days are those of the corp's
zone; a till whose clock runs ahead never makes a negative number of days.
"""

from __future__ import annotations

BOUGHT = """
  SELECT o.person_id, o.paid_at, o.currency, o.amount - o.refunded_amount AS net FROM orders o
  WHERE o.paid_at IS NOT NULL AND o.person_id IS NOT NULL AND o.status <> 'cancelled'
    AND NOT (o.status = 'refunded' AND o.refunded_amount = 0) AND (o.amount = 0 OR o.refunded_amount < o.amount)"""
"""Bind parameters: none."""
ONLY = "= ANY(CAST(:ids AS bigint[]))"
"""Limits a statement to the persons ``:ids``."""
LAST_ON = "CAST(max(paid_at) AT TIME ZONE :zone AS date)"
"""Day of the last order of a group; bind parameter ``:zone``."""
RECENCY = f"GREATEST(0, CAST(:today AS date) - {LAST_ON})"
"""Days since the last order of a group; bind parameters ``:today`` and ``:zone``."""
