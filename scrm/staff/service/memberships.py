"""Which departments members belong to and lead, and who told that somebody came or left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import StaffDepartmentsChanged, StaffLeft, StaffReturned

LEFT = 5  # WeCom's member status
SAME_MOMENT = timedelta(seconds=1)  # event times are whole seconds


def tell_presence(rows: Sequence[Any]) -> None:
    """Tell who left and who is back, from rows with id, had_left and has_left (``PRESENCE``)."""
    left = tuple(sorted(row.id for row in rows if row.has_left and not row.had_left))
    back = tuple(sorted(row.id for row in rows if row.had_left and not row.has_left))
    if left:
        publish(StaffLeft(left))
    if back:
        publish(StaffReturned(back))


PRESENCE = "new.id, old.left_at IS NOT NULL AS had_left, new.left_at IS NOT NULL AS has_left"
"""What an UPDATE of staff returns for :func:`tell_presence`: a change is told by the write that made it."""


def replace_departments(wanted: Mapping[int, Sequence[tuple[int, bool]]]) -> None:
    """Make the departments of these members exactly this; tells StaffDepartmentsChanged for real changes.

    :param wanted: (department id, leads it) by staff id
    """
    if not wanted:
        return
    rows = [
        {"staff_id": id_, "department_id": department, "is_leader": leads}
        for id_, departments in sorted(wanted.items())
        for department, leads in sorted(set(departments))
    ]
    values = {"rows": orjson.dumps(rows).decode(), "ids": sorted(wanted)}
    changed = set(session().scalars(_DROP, values)) | set(session().scalars(_PUT, {"rows": values["rows"]}))
    if changed:
        publish(StaffDepartmentsChanged(tuple(sorted(changed))))


_MEMBERSHIPS = (
    "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(staff_id bigint, department_id bigint, is_leader boolean)"
)
_DROP = text(f"""
DELETE FROM staff_departments d WHERE d.staff_id = ANY(CAST(:ids AS bigint[]))
AND NOT EXISTS (SELECT FROM {_MEMBERSHIPS} WHERE r.staff_id = d.staff_id AND r.department_id = d.department_id)
RETURNING d.staff_id
""")  # noqa: S608  # constants of this module
_PUT = text(f"""
INSERT INTO staff_departments AS d (staff_id, department_id, is_leader)
SELECT staff_id, department_id, bool_or(is_leader) FROM {_MEMBERSHIPS} GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (staff_id, department_id) DO UPDATE SET is_leader = excluded.is_leader
WHERE d.is_leader <> excluded.is_leader
RETURNING d.staff_id
""")  # noqa: S608  # constants of this module
