"""Since when WeCom gives a code's newcomers to whom: the base of fairness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import text

from scrm.acquisition.models import ChannelCode
from scrm.kernel.db import session


def note_duties(codes: Sequence[ChannelCode], now: datetime) -> None:
    """WeCom holds other members for these codes, or the code is gone: end and begin duties; no change writes nothing."""
    rows = [
        {"id": code.id, "users": held.get("user", []), "parties": held.get("party", [])}
        for code in sorted(codes, key=lambda c: c.id)
        for held in [code.accepted or {}]
    ]
    if not rows:
        return
    values = {"rows": orjson.dumps(rows).decode(), "now": now}
    session().execute(_END, values)
    session().execute(_BEGIN, values)


_HELD = """
WITH RECURSIVE r AS (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, users text[], parties bigint[])),
tree AS (
  SELECT r.id AS code, d.id FROM r JOIN departments d ON d.id = ANY(r.parties) AND d.deleted_at IS NULL
  UNION SELECT tree.code, d.id FROM tree JOIN departments d ON d.parent_id = tree.id AND d.deleted_at IS NULL),
held AS (
  SELECT r.id AS code, s.id AS staff_id FROM r JOIN staff s ON lower(s.userid) = ANY(
    SELECT lower(u) FROM unnest(r.users) u)
  UNION SELECT tree.code, s.id FROM tree JOIN staff_departments m ON m.department_id = tree.id
    JOIN staff s ON s.id = m.staff_id AND s.left_at IS NULL AND s.follows_customers)
"""
_END = text(f"""{_HELD}
UPDATE channel_duties d SET until_at = :now FROM r
WHERE d.channel_code_id = r.id AND d.until_at IS NULL
AND NOT EXISTS (SELECT FROM held WHERE held.code = d.channel_code_id AND held.staff_id = d.staff_id)
""")  # noqa: S608  # a constant of this module
_BEGIN = text(f"""{_HELD}
INSERT INTO channel_duties (channel_code_id, staff_id, from_at)
SELECT code, staff_id, :now FROM held ORDER BY 1, 2
ON CONFLICT (channel_code_id, staff_id) WHERE until_at IS NULL DO NOTHING
""")  # noqa: S608  # a constant of this module
