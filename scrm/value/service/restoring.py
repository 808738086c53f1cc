"""Stages after a merge was undone: both persons go on where they were, as of when they came there.

Who was gone has no stage and keeps the history; the last of it counts again. What the kept person came into meanwhile
was because of the other's orders, and is taken back where the stage of before fits what is left. Where it does not fit,
or another merge of that time still stands, nothing is taken back and the person moves on from where they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from scrm.kernel.db import session
from scrm.value.service.bought import BOUGHT, ONLY, RECENCY
from scrm.value.service.lifecycle import stage_values


def restore_stages(person_ids: Sequence[int]) -> None:
    """Give these persons the stages that undone merges took from them; before they are worked out again. Again is harmless."""
    values = stage_values() | {"ids": sorted(person_ids)}
    session().execute(_COME_BACK, values)
    session().execute(_TAKE_BACK, values)


_COME_BACK = text(f"""
INSERT INTO lifecycle (person_id, stage, since)
SELECT DISTINCT ON (h.person_id) h.person_id, h.stage, h.at
FROM lifecycle_history h JOIN people p ON p.id = h.person_id AND p.merged_into IS NULL
WHERE h.person_id {ONLY} AND EXISTS (SELECT FROM merges m WHERE m.gone_id = h.person_id AND m.undone_at IS NOT NULL)
ORDER BY h.person_id, h.id DESC
ON CONFLICT DO NOTHING
""")  # noqa: S608  # names of this package's own constants
_TAKE_BACK = text(f"""
WITH stages AS (
  SELECT * FROM jsonb_to_recordset(CAST(:stages AS jsonb)) AS s(key text, orders_min int, orders_max int, days_min int,
    days_max int)),
bought AS (
  SELECT person_id, count(*) AS orders, {RECENCY} AS days FROM ({BOUGHT} AND o.person_id {ONLY}) b GROUP BY person_id),
undone AS (
  SELECT m.kept_id AS person_id, m.at, m.undone_at FROM merges m
  WHERE m.kept_id {ONLY} AND m.undone_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM merges o WHERE o.kept_id = m.kept_id AND o.undone_at IS NULL AND o.at BETWEEN m.at AND m.undone_at)),
before AS (
  SELECT u.person_id, u.at AS merged_at, u.undone_at, h.stage, h.at FROM undone u CROSS JOIN LATERAL (
    SELECT stage, at FROM lifecycle_history h WHERE h.person_id = u.person_id AND h.at < u.at
    ORDER BY id DESC LIMIT 1) h),
fitting AS (
  SELECT f.* FROM before f JOIN stages s ON s.key = f.stage LEFT JOIN bought b ON b.person_id = f.person_id
  WHERE COALESCE(b.orders, 0) >= s.orders_min AND (s.orders_max IS NULL OR COALESCE(b.orders, 0) <= s.orders_max)
    AND (s.days_min IS NULL OR b.days >= s.days_min) AND (s.days_max IS NULL OR b.days <= s.days_max)),
taken AS (
  DELETE FROM lifecycle_history h USING fitting f
  WHERE h.person_id = f.person_id AND h.at BETWEEN f.merged_at AND f.undone_at RETURNING h.person_id, h.id)
UPDATE lifecycle l SET stage = h.stage, since = h.at
FROM (
  SELECT DISTINCT ON (h.person_id) h.person_id, h.stage, h.at FROM lifecycle_history h
  WHERE h.person_id IN (SELECT person_id FROM taken) AND h.id NOT IN (SELECT id FROM taken)
  ORDER BY h.person_id, h.id DESC) h
WHERE l.person_id = h.person_id
""")  # noqa: S608  # names of this package's own constants
