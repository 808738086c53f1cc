"""Recognizing members of groups: who became known as customer or as member of staff after they had joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from scrm.kernel.db import session


def link_customers(customer_ids: Sequence[int]) -> list[Any]:
    """Link stays of these customers; returns the newly linked (id, group_id, customer_id, joined_at, left_at)."""
    return list(session().execute(_LINK_CUSTOMERS, {"ids": sorted(customer_ids)}).all())


_LINK_CUSTOMERS = text("""
UPDATE group_stays s SET customer_id = c.id FROM customers c
WHERE c.id = ANY(CAST(:ids AS bigint[])) AND s.member_id = c.external_userid AND s.customer_id IS NULL
RETURNING s.id, s.group_id, s.customer_id, s.joined_at, s.left_at
""")


def link_all_customers() -> list[Any]:
    """Link every stay of somebody who is a customer by now; returns the newly linked as :func:`link_customers`."""
    return list(session().execute(_LINK_ALL).all())


_LINK_ALL = text("""
UPDATE group_stays s SET customer_id = c.id FROM customers c
WHERE s.member_type = 2 AND s.customer_id IS NULL AND c.external_userid = s.member_id
RETURNING s.id, s.group_id, s.customer_id, s.joined_at, s.left_at
""")


def link_staff(staff_ids: Sequence[int]) -> None:
    """Link stays of these members of staff."""
    session().execute(
        text("""
        UPDATE group_stays s SET staff_id = staff.id FROM staff
        WHERE staff.id = ANY(CAST(:ids AS bigint[])) AND s.member_id = staff.userid AND s.staff_id IS NULL
        """),
        {"ids": sorted(staff_ids)},
    )


def move_staff(kept_id: int, gone_id: int) -> None:
    """Two rows of one member of staff became one: give groups and stays to the kept one."""
    ids = {"kept": kept_id, "gone": gone_id}
    session().execute(
        text("UPDATE customer_groups SET owner_staff_id = :kept WHERE owner_staff_id = :gone"), ids
    )
    session().execute(text("UPDATE group_stays SET staff_id = :kept WHERE staff_id = :gone"), ids)
