"""Whom a number means today: merged persons answer with the person they are part of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text

from scrm.kernel.db import session


def survivors(person_ids: Iterable[int]) -> dict[int, int]:
    """The whole person behind each number; numbers that nobody has are left out."""
    rows = session().execute(_SURVIVORS, {"ids": sorted(set(person_ids))})
    return {row.asked: row.id for row in rows}


_SURVIVORS = text("""
WITH RECURSIVE chain AS (
  SELECT id AS asked, id, merged_into FROM people WHERE id = ANY(CAST(:ids AS bigint[]))
  UNION ALL
  SELECT c.asked, p.id, p.merged_into FROM chain c JOIN people p ON p.id = c.merged_into)
SELECT asked, id FROM chain WHERE merged_into IS NULL
""")
