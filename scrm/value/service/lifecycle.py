"""Which stage everybody is in; one statement.

Stages are tried in their order; the first holds whose bounds fit (number of paid orders, days since the last one) and
that may be come into from where the person is: ``enters_from`` lists the stages, null means from anywhere, also for
persons without a stage. Who is in a stage may stay as long as its bounds fit. Where none can be come into, the person
stays where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.value.queries.settings import stages
from scrm.value.service.bought import BOUGHT, ONLY, RECENCY


def stage_people(person_ids: Sequence[int] | None = None) -> list[int]:
    """Put these persons, or all, into their stages, and give those who moved, with a dated row of history each.

    Who became part of another person has no stage, and who is no more has no history either.
    """
    values = stage_values() | {"now": utcnow()}
    if person_ids is not None:
        values["ids"] = sorted(person_ids)
    return sorted(session().scalars(text(_statement(person_ids is not None)), values))


def stage_values() -> dict[str, Any]:
    """Bind parameters of statements about stages: ``today``, ``zone`` and ``stages``."""
    corp = settings().corp
    ordered = [{**stage, "place": place} for place, stage in enumerate(stages())]
    return {
        "today": in_zone(utcnow(), corp.zone).date(), "zone": corp.timezone, "stages": orjson.dumps(ordered).decode(),
    }  # fmt: skip


@cache
def _statement(some: bool) -> str:
    return _STAGE.format(
        only_orders=f"AND o.person_id {ONLY}" if some else "",
        only_people=f"AND p.id {ONLY}" if some else "",
        only_rows=f"AND l.person_id {ONLY}" if some else "",
    )


_STAGE = f"""
WITH stages AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:stages AS jsonb)) AS s(key text, place int, orders_min int, orders_max int,
    days_min int, days_max int, enters_from text[])),
bought AS (
  SELECT person_id, count(*) AS orders, {RECENCY} AS days FROM ({BOUGHT} {{only_orders}}) b GROUP BY person_id),
moving AS MATERIALIZED (
  SELECT p.id AS person_id, l.stage AS was, s.key AS stage
  FROM people p LEFT JOIN bought b ON b.person_id = p.id LEFT JOIN lifecycle l ON l.person_id = p.id
  CROSS JOIN LATERAL (
    SELECT key FROM stages s
    WHERE COALESCE(b.orders, 0) >= s.orders_min AND (s.orders_max IS NULL OR COALESCE(b.orders, 0) <= s.orders_max)
      AND (s.days_min IS NULL OR b.days >= s.days_min) AND (s.days_max IS NULL OR b.days <= s.days_max)
      AND (s.enters_from IS NULL OR l.stage = s.key OR l.stage = ANY(s.enters_from))
    ORDER BY s.place LIMIT 1) s
  WHERE p.merged_into IS NULL {{only_people}} AND l.stage IS DISTINCT FROM s.key),
written AS (
  INSERT INTO lifecycle (person_id, stage, since) SELECT person_id, stage, :now FROM moving ORDER BY person_id
  ON CONFLICT (person_id) DO UPDATE SET stage = excluded.stage, since = excluded.since),
noted AS (
  INSERT INTO lifecycle_history (person_id, from_stage, stage, at)
  SELECT person_id, was, stage, :now FROM moving ORDER BY person_id),
gone AS (
  DELETE FROM lifecycle l WHERE NOT EXISTS (SELECT FROM people p WHERE p.id = l.person_id AND p.merged_into IS NULL)
    {{only_rows}} RETURNING l.person_id),
forgotten AS (
  DELETE FROM lifecycle_history h USING gone g
  WHERE h.person_id = g.person_id AND NOT EXISTS (SELECT FROM people p WHERE p.id = g.person_id))
SELECT person_id FROM moving UNION ALL SELECT person_id FROM gone
"""  # noqa: S608  # names of this module's own constants
