"""Two rows of one member became one (their userid changed): transfers follow the one that is kept."""

from __future__ import annotations

from sqlalchemy import text

from scrm.kernel.db import session


def move_transfers(kept_id: int, gone_id: int) -> None:
    """Give plans, items, calls and unassigned customers of ``gone_id`` to ``kept_id``; watches begin anew."""
    ids = {"kept": kept_id, "gone": gone_id}
    for statement in _MOVES:
        session().execute(statement, ids)


_MOVES = [
    text("DELETE FROM transfer_pairs WHERE to_staff_id = :gone AND plan_id IN ("
         "SELECT id FROM transfer_plans WHERE from_staff_id = :kept)"),
    text("UPDATE transfer_pairs SET to_staff_id = :kept WHERE to_staff_id = :gone"),
    text("UPDATE transfer_plans SET from_staff_id = :kept WHERE from_staff_id = :gone"),
    text("UPDATE transfer_items i SET from_staff_id = :kept WHERE from_staff_id = :gone AND NOT EXISTS ("
         "SELECT FROM transfer_items o WHERE o.from_staff_id = :kept AND o.customer_id = i.customer_id"
         " AND o.state IN ('planned', 'asked', 'waiting') AND i.state IN ('planned', 'asked', 'waiting'))"),
    text("UPDATE transfer_items SET to_staff_id = :kept WHERE to_staff_id = :gone"),
    text("UPDATE transfer_calls SET from_staff_id = :kept WHERE from_staff_id = :gone"),
    text("UPDATE transfer_calls SET to_staff_id = :kept WHERE to_staff_id = :gone"),
    text("DELETE FROM unassigned_customers u USING unassigned_customers k WHERE u.staff_id = :gone"
         " AND k.staff_id = :kept AND k.customer_id = u.customer_id"),
    text("UPDATE unassigned_customers SET staff_id = :kept WHERE staff_id = :gone"),
    text("DELETE FROM transfer_closed_receivers WHERE staff_id = :gone"),
    text("""
    INSERT INTO transfer_watches AS w (kind, of_groups, from_staff_id, to_staff_id, next_at)
    SELECT kind, of_groups, CASE from_staff_id WHEN :gone THEN :kept ELSE from_staff_id END,
      CASE to_staff_id WHEN :gone THEN :kept ELSE to_staff_id END, next_at
    FROM transfer_watches WHERE :gone IN (from_staff_id, to_staff_id) AND next_at IS NOT NULL
    ON CONFLICT (kind, of_groups, from_staff_id, to_staff_id) DO UPDATE SET next_at = LEAST(w.next_at, excluded.next_at)
    """),
    text("DELETE FROM transfer_watches WHERE :gone IN (from_staff_id, to_staff_id)"),
]  # fmt: skip
