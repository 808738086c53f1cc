"""Cleaning what was said: find values that are not right by today's rules, show them, repair them, undo it.

A value that only is written in another form than today's is put into that form; one that cannot be right is taken away,
so that the next best source's value stands. Each step works through values by number and can stop anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.events import publish
from scrm.people.events import CleaningWanted
from scrm.people.models import CleaningRun, CleaningState
from scrm.people.queries.fields import FieldSpec, field_specs
from scrm.people.service.checking import checked
from scrm.people.service.merging import lock_people
from scrm.people.service.surviving import recompute_fields

OTHER_FORM = "is written in another form"


def start_cleaning(by: str) -> CleaningRun:
    """Begin a run; its preview is complete when it is ``ready``.

    :raises Conflict: another run is open
    """
    run = CleaningRun(state=CleaningState.SCANNING, by=by, reached=0, looked_at=0)
    try:
        with session().begin_nested():
            session().add(run)
    except IntegrityError:
        raise Conflict("another cleaning run is open; apply or cancel it first") from None
    publish(CleaningWanted(run.id))
    return run


def move_run(run_id: int, to: CleaningState) -> CleaningRun:
    """Apply, cancel or undo a run.

    :raises NotFound: no such run
    :raises Conflict: its state does not allow this
    """
    statement = select(CleaningRun).where(CleaningRun.id == run_id).with_for_update()
    run = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if run is None:
        raise NotFound(f"there is no cleaning run {run_id}")
    if run.state not in ALLOWED[to]:
        wanted = " or ".join(sorted(ALLOWED[to]))
        raise Conflict(f"cleaning run {run_id} is {run.state}; only one that is {wanted} can become {to}")
    run.state, run.reached = to, 0
    run.finished_at = utcnow() if to is CleaningState.CANCELLED else None
    try:
        session().flush()
    except IntegrityError:
        raise Conflict("another cleaning run is open; apply or cancel it first") from None
    publish(CleaningWanted(run_id))
    return run


ALLOWED = {
    CleaningState.APPLYING: {CleaningState.READY},
    CleaningState.CANCELLED: {CleaningState.SCANNING, CleaningState.READY},
    CleaningState.UNDOING: {CleaningState.DONE},
}
WORKING = (CleaningState.SCANNING, CleaningState.APPLYING, CleaningState.UNDOING)


def work_on(limit: int) -> bool:
    """One step of the run that is at work; whether there was one."""
    statement = select(CleaningRun).where(CleaningRun.state.in_(WORKING)).with_for_update(skip_locked=True)
    run = session().scalars(statement.execution_options(populate_existing=True)).first()
    if run is None:
        return False
    if run.state is CleaningState.SCANNING:
        _scan(run, limit)
    else:
        _repair(run, limit, undo=run.state is CleaningState.UNDOING)
    session().flush()
    return True


def _scan(run: CleaningRun, limit: int) -> None:
    rows = session().execute(_VALUES, {"after": run.reached, "limit": limit}).all()
    specs = field_specs(archived=True)
    items = [item for row in rows if (item := _item(row, specs.get(row.field)))]
    if items:
        session().execute(_NOTE, {"run": run.id, "rows": orjson.dumps(items).decode()})
    run.looked_at += len(rows)
    if len(rows) < limit:
        run.state = CleaningState.READY
    else:
        run.reached = rows[-1].id


_VALUES = text("""
SELECT id, person_id, field, value FROM person_values WHERE id > :after AND value IS NOT NULL ORDER BY id LIMIT :limit
""")
_NOTE = text("""
INSERT INTO cleaning_items (run_id, value_id, person_id, field, row, after, problem)
SELECT :run, v.id, v.person_id, v.field, to_jsonb(v), NULLIF(r.after, 'null'), r.problem
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, after jsonb, problem text)
JOIN person_values v ON v.id = r.id
ON CONFLICT DO NOTHING
""")


def _item(row: Any, spec: FieldSpec | None) -> dict[str, Any] | None:
    """What is wrong with one value; None when it is right, or of a field that is gone."""
    if spec is None:
        return None
    try:
        after = checked(spec, row.value)
    except ValueError as problem:
        return {"id": row.id, "after": None, "problem": str(problem)}
    return None if after == row.value else {"id": row.id, "after": after, "problem": OTHER_FORM}


def _repair(run: CleaningRun, limit: int, *, undo: bool) -> None:
    values = {"run": run.id, "after": run.reached, "limit": limit, "applied": undo}
    items = session().execute(_ITEMS, values).all()
    lock_people([item.person_id for item in items])
    ids = {"run": run.id, "ids": [item.value_id for item in items]}
    for statement in (_PUT_AGAIN, _UNAPPLY) if undo else (_REWRITE, _TAKE_AWAY):
        session().execute(statement, ids)
    _recompute(items)
    if len(items) < limit:
        run.state = CleaningState.UNDONE if undo else CleaningState.DONE
        run.finished_at = utcnow()
    else:
        run.reached = items[-1].value_id


def _recompute(items: Sequence[Any]) -> None:
    """The standing values of whom the repaired values belong to by now."""
    people = {item.person_id for item in items}
    if people:
        recompute_fields(people, sorted({item.field for item in items}))


_ITEMS = text("""
SELECT i.value_id, i.field, COALESCE(v.person_id, p.merged_into, i.person_id) AS person_id
FROM cleaning_items i LEFT JOIN person_values v ON v.id = i.value_id LEFT JOIN people p ON p.id = i.person_id
WHERE i.run_id = :run AND i.value_id > :after AND i.applied = :applied ORDER BY i.value_id LIMIT :limit
""")
_CHOSEN = "i.run_id = :run AND i.value_id = ANY(CAST(:ids AS bigint[]))"
_SAME = "v.id = i.value_id AND v.value = i.row->'value'"
_REWRITE = text(f"""
WITH done AS (
  UPDATE person_values v SET value = i.after FROM cleaning_items i
  WHERE {_CHOSEN} AND {_SAME} AND i.after IS NOT NULL RETURNING v.id)
UPDATE cleaning_items i SET applied = true FROM done WHERE i.run_id = :run AND i.value_id = done.id
""")  # noqa: S608  # constants
_TAKE_AWAY = text(f"""
WITH done AS (
  DELETE FROM person_values v USING cleaning_items i
  WHERE {_CHOSEN} AND {_SAME} AND i.after IS NULL RETURNING v.id, v.person_id)
UPDATE cleaning_items i SET applied = true, person_id = done.person_id FROM done
WHERE i.run_id = :run AND i.value_id = done.id
""")  # noqa: S608  # constants
_PUT_AGAIN = text(f"""
INSERT INTO person_values AS v (id, person_id, field, value, source, at)
SELECT r.id, COALESCE(p.merged_into, p.id), r.field, r.value, r.source, r.at
FROM cleaning_items i JOIN people p ON p.id = i.person_id, jsonb_populate_record(CAST(NULL AS person_values), i.row) AS r WHERE {_CHOSEN}
ON CONFLICT (id) DO UPDATE SET value = excluded.value
""")  # noqa: S608  # constants
_UNAPPLY = text(f"UPDATE cleaning_items i SET applied = false WHERE {_CHOSEN}")  # noqa: S608  # constants
