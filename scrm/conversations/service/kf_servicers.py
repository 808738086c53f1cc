"""Who serves in customer-service accounts: members, and whole departments (wecom-api.md section 7.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.counts import Seen
from scrm.kernel.db import session
from scrm.staff.service import ensure_staff


@dataclass(frozen=True)
class ServicerSeen:
    """A row of kf/servicer/list: a member (``status`` 0 serving, 1 stopped), or a department."""

    userid: str | None
    department_id: int | None
    status: int | None = None
    stop_type: int | None = None


def keep_servicers(shown: Mapping[str, Sequence[ServicerSeen]]) -> Seen:
    """Make the servicers of these accounts (by open_kfid) exactly those shown; writes only what differs."""
    staff = ensure_staff(one.userid for rows in shown.values() for one in rows if one.userid)
    rows = [_row(key, one, staff) for key in sorted(shown) for one in shown[key]]
    values = {"rows": orjson.dumps(rows).decode(), "accounts": sorted(shown)}
    gone = len(session().execute(_DROP, values).all())
    written = session().execute(_PUT, {"rows": values["rows"]}).all()
    new = sum(1 for row in written if row.is_new)
    return Seen(len(rows), new, len(written) - new, gone, len(rows) - len(written))


def _row(open_kfid: str, one: ServicerSeen, staff: Mapping[str, int]) -> dict[str, Any]:
    return {
        "open_kfid": open_kfid, "staff_id": staff[one.userid.casefold()] if one.userid else None,
        "department_id": one.department_id, "status": one.status, "stop_type": one.stop_type,
    }  # fmt: skip


_R = """r AS MATERIALIZED (
  SELECT DISTINCT ON (a.id, r.staff_id, r.department_id) a.id AS kf_account_id, r.staff_id, r.department_id, r.status,
    r.stop_type
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(open_kfid text, staff_id bigint, department_id bigint,
    status bigint, stop_type bigint) JOIN kf_accounts a USING (open_kfid) ORDER BY a.id, r.staff_id, r.department_id)"""
_DROP = text(f"""
WITH {_R}
DELETE FROM kf_servicers s USING kf_accounts a
WHERE a.id = s.kf_account_id AND a.open_kfid = ANY(CAST(:accounts AS text[]))
AND NOT EXISTS (SELECT FROM r WHERE r.kf_account_id = s.kf_account_id AND r.staff_id IS NOT DISTINCT FROM s.staff_id
  AND r.department_id IS NOT DISTINCT FROM s.department_id)
RETURNING s.id
""")  # noqa: S608  # constants of this module
_PUT = text(f"""
WITH {_R}, differ AS (
  SELECT r.* FROM r LEFT JOIN kf_servicers s ON s.kf_account_id = r.kf_account_id
    AND s.staff_id IS NOT DISTINCT FROM r.staff_id AND s.department_id IS NOT DISTINCT FROM r.department_id
  WHERE s.id IS NULL OR (s.status, s.stop_type) IS DISTINCT FROM (r.status, r.stop_type))
INSERT INTO kf_servicers (kf_account_id, staff_id, department_id, status, stop_type)
SELECT kf_account_id, staff_id, department_id, status, stop_type FROM differ ORDER BY 1, 2, 3
ON CONFLICT (kf_account_id, staff_id, department_id) DO UPDATE SET status = excluded.status,
  stop_type = excluded.stop_type, updated_at = now()
RETURNING old.id IS NULL AS is_new
""")  # noqa: S608  # constants of this module
