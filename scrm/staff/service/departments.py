"""The tree of departments: what callbacks told and what WeCom answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.events import DepartmentsDoubted, DepartmentsMoved
from scrm.staff.service.memberships import SAME_MOMENT
from scrm.staff.service.telling import Told, kept_or_told, merged_times

COLUMNS = {"name": "text", "parent_id": "bigint", "position": "bigint"}


@dataclass(frozen=True)
class DepartmentSeen:
    """A department as ``department/get`` or ``simplelist`` shows it; ``name`` None: not shown."""

    id: int
    name: str | None = None
    parent_id: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class DepartmentEvent:
    """A change of a department that a callback told: only what it names."""

    id: int
    at: datetime
    gone: bool = False
    name: str | None = None
    parent_id: int | None = None
    position: int | None = None


def apply_departments(
    departments: Sequence[DepartmentSeen], asked_at: datetime, *, complete: bool = False
) -> None:
    """Write what WeCom answered about departments; an event that came in after the question was asked stays.

    :param complete: these are all there are; others are gone
    """
    rows = [asdict(department) for department in sorted(departments, key=lambda d: d.id)]
    if not rows:
        return
    values = {"rows": orjson.dumps(rows).decode(), "newest_event": asked_at - SAME_MOMENT}
    changed = session().execute(_APPLY, values).all()
    _tell_moved(changed)
    if complete:
        times = {"asked_at": asked_at, "newest_event": asked_at - SAME_MOMENT}
        _tell_moved(session().execute(_CLOSE, {"ids": [row["id"] for row in rows], **times}).all())


def note_departments_gone(ids: Sequence[int], asked_at: datetime) -> None:
    """WeCom does not know these departments (60003)."""
    times = {"asked_at": asked_at, "newest_event": asked_at - SAME_MOMENT}
    _tell_moved(session().execute(_GONE, {"ids": sorted(ids), **times}).all())


def record_department_events(events: Sequence[DepartmentEvent]) -> None:
    """Apply what callbacks told about departments, each value as of its time; deletion wins at the same second."""
    folded: dict[int, Told] = {}
    for event in events:
        named = {name: getattr(event, name) for name in COLUMNS}
        told = {name: value for name, value in named.items() if value is not None}
        folded.setdefault(event.id, Told()).add(event.at, event.gone, told)
    if not folded:
        return
    rows = [folded[id_].row(id_) | {"doubtful": folded[id_].tied} for id_ in sorted(folded)]
    changed = session().execute(_MERGE, {"rows": orjson.dumps(rows).decode()}).all()
    _tell_moved(changed)
    if any(row.doubtful for row in changed):
        publish(DepartmentsDoubted())


def _tell_moved(rows: Sequence[Any]) -> None:
    if moved := tuple(sorted(row.id for row in rows if row.moved)):
        publish(DepartmentsMoved(moved))


_MOVED = """new.id, (old.id IS NULL AND new.deleted_at IS NULL) OR (old.id IS NOT NULL AND
  (old.parent_id IS DISTINCT FROM new.parent_id OR (old.deleted_at IS NULL) <> (new.deleted_at IS NULL))) AS moved"""
_SAME = "departments.told_at IS NULL OR departments.told_at < :newest_event"
_APPLY = text(f"""
INSERT INTO departments (id, name, parent_id, position)
SELECT id, name, parent_id, COALESCE(position, 0) FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(id bigint, name text, parent_id bigint, position bigint) ORDER BY id
ON CONFLICT (id) DO UPDATE SET name = COALESCE(excluded.name, departments.name),
  parent_id = COALESCE(excluded.parent_id, departments.parent_id), position = excluded.position,
  deleted_at = NULL, doubtful = false, updated_at = now()
WHERE {_SAME}
RETURNING {_MOVED}
""")  # noqa: S608  # constants of this module
_CLOSE = text(f"""
UPDATE departments SET deleted_at = :asked_at, doubtful = false WHERE deleted_at IS NULL
AND NOT id = ANY(CAST(:ids AS bigint[])) AND ({_SAME})
RETURNING {_MOVED}
""")  # noqa: S608  # constants of this module
_GONE = text(f"""
UPDATE departments SET deleted_at = COALESCE(deleted_at, :asked_at), doubtful = false
WHERE id = ANY(CAST(:ids AS bigint[])) AND ({_SAME})
RETURNING {_MOVED}
""")  # noqa: S608  # constants of this module


_LATEST = """(excluded.told_at > GREATEST(departments.told_at, departments.deleted_at, '-infinity')
  OR (excluded.told_at = departments.told_at AND excluded.deleted_at IS NOT NULL))"""
_MERGE = text(f"""
INSERT INTO departments (id, name, parent_id, position, told, told_at, deleted_at, doubtful)
SELECT id, name, parent_id, COALESCE(position, 0), told, at, CASE WHEN gone THEN at END, doubtful
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, told jsonb, at timestamptz, gone boolean,
  doubtful boolean, {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())}) ORDER BY id
ON CONFLICT (id) DO UPDATE SET
  {", ".join(kept_or_told("departments", name, "excluded") for name in COLUMNS)},
  told = {merged_times("departments", "excluded")},
  told_at = GREATEST(departments.told_at, excluded.told_at),
  deleted_at = CASE WHEN {_LATEST} THEN excluded.deleted_at ELSE departments.deleted_at END,
  doubtful = departments.doubtful OR excluded.doubtful OR COALESCE(excluded.told_at <= departments.told_at, false),
  updated_at = now()
RETURNING {_MOVED}, new.doubtful
""")  # noqa: S608  # constants of this package
