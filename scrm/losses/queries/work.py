"""What is left to do for losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from scrm.kernel.db import session
from scrm.losses.models import Turn

Relation = tuple[int, int]
"""(customer id, staff id)"""


def judging_due() -> bool:
    """Whether there are losses nobody considered, or alarms that late facts made doubtful."""
    return bool(session().scalar(_JUDGING_DUE))


_JUDGING_DUE = text("""
SELECT EXISTS (SELECT FROM losses WHERE judged_at IS NULL) OR EXISTS (SELECT FROM loss_alarms WHERE doubtful)
""")


def contradicted(relations: Sequence[Relation]) -> list[Relation]:
    """Those of the relations that WeCom shows although their last loss is still open, or that were never gone."""
    if not relations:
        return []
    values = {
        "customers": [customer for customer, _ in relations],
        "staff": [staff for _, staff in relations],
    }
    return _pairs(session().execute(_CONTRADICTED, values).all())


_SHOWN_AGAIN = """(l.returned_at IS NULL AND GREATEST(f.added_at, f.half_added_at) > l.lost_at
  OR l.found AND f.status IN ('active', 'deleted_by_customer') AND f.confirmed_at > l.lost_at AND f.added_at < l.lost_at)"""
_CONTRADICTED = text(f"""
SELECT DISTINCT l.customer_id, l.staff_id FROM losses l
JOIN unnest(CAST(:customers AS bigint[]), CAST(:staff AS bigint[])) AS w(customer_id, staff_id) USING (customer_id, staff_id)
JOIN follows f USING (customer_id, staff_id) WHERE {_SHOWN_AGAIN} ORDER BY 1, 2
""")  # noqa: S608  # names of this module's own constants


def relations_behind(after: int, until: int) -> list[Relation]:
    """Relations with ids over ``after`` up to ``until`` that say more of their losses than is worked out."""
    return _pairs(session().execute(_BEHIND, {"after": after, "until": until}).all())


def _known(moment: str, *turns: Turn) -> str:
    kinds = ", ".join(f"'{turn}'" for turn in turns)
    return f"""EXISTS (SELECT FROM loss_facts k WHERE k.customer_id = f.customer_id AND k.staff_id = f.staff_id
  AND k.at = f.{moment} AND k.turn IN ({kinds}))"""


_BEHIND = text(f"""
SELECT f.customer_id, f.staff_id FROM follows f WHERE f.id > :after AND f.id <= :until AND (
  f.deleted_by_customer_at IS NOT NULL AND NOT {_known("deleted_by_customer_at", Turn.LOST_BY_CUSTOMER)}
  OR f.deleted_by_staff_at IS NOT NULL
    AND NOT COALESCE(f.confirmed_at > f.deleted_by_staff_at AND f.added_at < f.deleted_by_staff_at, false)
    AND NOT {_known("deleted_by_staff_at", Turn.LOST_BY_STAFF, Turn.TRANSFERRED)}
  OR EXISTS (SELECT FROM losses l WHERE l.customer_id = f.customer_id AND l.staff_id = f.staff_id AND {_SHOWN_AGAIN}))
ORDER BY 1, 2
""")  # noqa: S608


def lock_relations(relations: Sequence[Relation]) -> None:
    """Wait for whoever records something of these relations, and keep others waiting until the transaction ends."""
    values = {
        "customers": [customer for customer, _ in relations],
        "staff": [staff for _, staff in relations],
    }
    session().execute(_LOCK, values)


_LOCK = text("""
SELECT f.id FROM follows f
JOIN unnest(CAST(:customers AS bigint[]), CAST(:staff AS bigint[])) AS w(customer_id, staff_id) USING (customer_id, staff_id)
ORDER BY f.customer_id, f.staff_id FOR NO KEY UPDATE OF f
""")


def _pairs(rows: Sequence[Row[Any]]) -> list[Relation]:
    return [(row.customer_id, row.staff_id) for row in rows]
