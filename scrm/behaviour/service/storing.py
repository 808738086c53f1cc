"""Taking in events: one statement for the new ones of a batch, with their keys and the counts per day.

Events may come twice, late by years, in any order, in batches cut in any way. A row whose key is known and that says
something else replaces what stands (the last to come wins); the same again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.behaviour.events import BehaviourStored, Stored
from scrm.behaviour.models import BehaviourEvent, EventKey, EventType
from scrm.behaviour.service.checking import EventShape
from scrm.kernel.batch import Batch, RowStatus
from scrm.kernel.db import session
from scrm.kernel.detaching import closed_months, newest_detachable
from scrm.kernel.events import publish
from scrm.kernel.partitions import make_months
from scrm.kernel.settings import settings
from scrm.people.service.sent import persons_of

Row = dict[str, Any]
Checked = list[tuple[int, Row]]
CLOSED = "lies in {month}, which was detached; `scrm partitions attach {month}` brings that month back"
NOBODY = {"identities": "holds nothing that identifies anybody: placeholders and blocked values do not count"}


def check_events(batch: Batch) -> Checked:
    """(index, row) of those rows of a batch that are right; the others are marked refused. Writes nothing."""
    keys = {row.get("type") for row in batch.rows if isinstance(row, dict)}
    named = sorted(key for key in keys if isinstance(key, str) and "\0" not in key)
    types = session().scalars(select(EventType).where(EventType.key.in_(named)))
    return batch.read(EventShape({kind.key: kind for kind in types}))


def make_room(checked: Checked) -> None:
    """Make partitions for months that have none; in a transaction of its own, before :func:`store_events`."""
    days = {row["at"].date().replace(day=1) for _, row in checked}
    make_months(session().connection(), days)


def store_events(batch: Batch, checked: Checked) -> None:
    """Store the checked rows of a batch and note each row's result.

    Rows of a month that was detached are refused, unless they are known: those are unchanged.
    """
    checked = _without_closed(batch, checked)
    persons = persons_of([row.pop("identities") for _, row in checked], batch.source)
    for (index, row), person_id in zip(checked, persons, strict=True):
        if person_id is None:
            batch.refuse(index, NOBODY)
        else:
            row["person_id"] = person_id
    last: dict[str, Row] = {}
    for index, row in checked:
        if "person_id" in row:
            batch.results[index]["status"] = _inside_batch(last.get(row["source_id"]), row)
            last[row["source_id"]] = row
    if last:
        _note(batch, checked, _store(batch.source, last))


def _without_closed(batch: Batch, checked: Checked) -> Checked:
    """The rows that can be stored, or need not be; the others are refused."""
    old = {index: row for index, row in checked if row["at"].date() < newest_detachable()}
    closed = closed_months(BehaviourEvent.__tablename__) if old else set()
    late = {index: row for index, row in old.items() if row["at"].date().replace(day=1) in closed}
    known = {key: at.date() for key, at in _known_times(batch.source, late.values())} if late else {}
    refused = set()
    for index, row in late.items():
        month = row["at"].date().replace(day=1)
        before = known.get(row["source_id"])
        if before is None or before.replace(day=1) != month:
            batch.refuse(index, {"at": CLOSED.format(month=f"{month:%Y-%m}")})
            refused.add(index)
    return [(index, row) for index, row in checked if index not in refused]


def _known_times(source: str, rows: Iterable[Row]) -> Iterable[Any]:
    keys = select(EventKey.source_id, EventKey.at).where(EventKey.source == source)
    return session().execute(keys.where(EventKey.source_id.in_({row["source_id"] for row in rows})))


def _inside_batch(before: Row | None, row: Row) -> str | None:
    """Status of a row that repeats a key of its own batch; None for the first, which the database decides."""
    if before is None:
        return None
    return RowStatus.UNCHANGED if _content(before) == _content(row) else RowStatus.UPDATED


def _content(row: Row) -> tuple[Any, ...]:
    return row["at"], row["person_id"], row["type_id"], row["properties"]


def _note(batch: Batch, checked: Checked, statuses: Mapping[str, RowStatus]) -> None:
    for index, row in checked:
        result = batch.results[index]
        if "status" in result and result["status"] is None:
            result["status"] = statuses.get(row["source_id"], RowStatus.UNCHANGED)


def _store(source: str, rows: Mapping[str, Row]) -> dict[str, RowStatus]:
    """Status by source_id of those that are new or changed."""
    values = {"source": source, "rows": _json(rows.values()), "zone": settings().corp.timezone}
    made = {row.source_id: row.event_id for row in session().execute(_STORE, values)}
    new = [_stored(made[key], row) for key, row in rows.items() if key in made]
    changed: list[Stored] = []
    before: Sequence[Any] = []
    if len(made) < len(rows):
        known = {key: row for key, row in rows.items() if key not in made}
        before = _differing(source, known)
        changed = [_stored(old.event_id, known[old.source_id]) for old in before]
        _change(source, known, before)
    _tell(new, changed, before)
    statuses = dict.fromkeys(made, RowStatus.CREATED)
    return statuses | {old.source_id: RowStatus.UPDATED for old in before}


def _json(rows: Iterable[Row]) -> str:
    return orjson.dumps(list(rows)).decode()


def _stored(event_id: int, row: Row) -> Stored:
    return Stored(event_id, row["at"], row["person_id"], row["type_id"])


_GIVEN = """given AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(source_id text, at timestamptz, person_id bigint, type_id bigint, properties jsonb))"""
_DAY = "CAST(timezone(:zone, {}) AS date)"
_STORE = text(f"""
WITH {_GIVEN},
taken AS (
  INSERT INTO event_keys (source, source_id, event_id, at)
  SELECT :source, source_id, nextval('behaviour_events_id_seq'), at
  FROM given ORDER BY source_id
  ON CONFLICT DO NOTHING RETURNING source_id, event_id),
fresh AS MATERIALIZED (SELECT g.*, t.event_id FROM taken t JOIN given g USING (source_id)),
stored AS (
  INSERT INTO behaviour_events (id, at, person_id, type_id, properties, source, source_id)
  SELECT event_id, at, person_id, type_id, properties, :source, source_id FROM fresh),
counted AS (
  INSERT INTO event_days AS d (type_id, person_id, day, count)
  SELECT type_id, person_id, {_DAY.format("at")} AS day, count(*) FROM fresh GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (type_id, person_id, day) DO UPDATE SET count = d.count + excluded.count)
SELECT source_id, event_id FROM fresh
""")  # noqa: S608  # constants


def _differing(source: str, known: Mapping[str, Row]) -> Sequence[Any]:
    """Where the stored events of these keys differ from the rows: what they were. Their keys are locked.

    An event whose month was detached is known by its key alone, and nothing differs.
    """
    session().execute(_LOCK, {"source": source, "ids": sorted(known)})
    return session().execute(_DIFFERING, {"source": source, "rows": _json(known.values())}).all()


_LOCK = text("""
SELECT 1 FROM event_keys WHERE source = :source AND source_id = ANY(CAST(:ids AS text[])) ORDER BY source_id FOR UPDATE
""")
_DIFFERING = text(f"""
WITH {_GIVEN}
SELECT k.source_id, k.event_id, e.at AS old_at, e.person_id AS old_person_id, e.type_id AS old_type_id
FROM given g JOIN event_keys k ON k.source = :source AND k.source_id = g.source_id
JOIN behaviour_events e ON e.id = k.event_id AND e.at = k.at
WHERE (e.at, e.person_id, e.type_id, e.properties) IS DISTINCT FROM (g.at, g.person_id, g.type_id, g.properties)
ORDER BY k.source_id
""")  # noqa: S608  # a constant


def _change(source: str, known: Mapping[str, Row], before: Sequence[Any]) -> None:
    """Put the rows in place of what stood, and move the counts of days."""
    if before:
        olds = [dict(old._mapping) for old in before]
        rows = _json(known[old["source_id"]] for old in olds)
        values = {"source": source, "rows": rows, "olds": orjson.dumps(olds).decode()}
        session().execute(_CHANGE, values | {"zone": settings().corp.timezone})
        emptied = {name: sorted({old[f"old_{name}_id"] for old in olds}) for name in ("person", "type")}
        session().execute(_DROP_EMPTY, emptied)


_CHANGE = text(f"""
WITH {_GIVEN},
pairs AS MATERIALIZED (
  SELECT g.*, o.event_id, o.old_at, o.old_person_id, o.old_type_id
  FROM given g JOIN jsonb_to_recordset(CAST(:olds AS jsonb))
    AS o(source_id text, event_id bigint, old_at timestamptz, old_person_id bigint, old_type_id bigint) USING (source_id)),
moved AS (
  UPDATE behaviour_events e SET at = p.at, person_id = p.person_id, type_id = p.type_id, properties = p.properties
  FROM pairs p WHERE e.id = p.event_id AND e.at = p.old_at),
keyed AS (
  UPDATE event_keys k SET at = p.at FROM pairs p
  WHERE k.source = :source AND k.source_id = p.source_id AND k.at <> p.at),
steps AS (
  SELECT type_id, person_id, {_DAY.format("at")} AS day, 1 AS step FROM pairs
  UNION ALL SELECT old_type_id, old_person_id, {_DAY.format("old_at")}, -1 FROM pairs)
INSERT INTO event_days AS d (type_id, person_id, day, count)
SELECT type_id, person_id, day, sum(step) FROM steps GROUP BY 1, 2, 3 HAVING sum(step) <> 0 ORDER BY 1, 2, 3
ON CONFLICT (type_id, person_id, day) DO UPDATE SET count = d.count + excluded.count
""")  # noqa: S608  # constants
_DROP_EMPTY = text("""
DELETE FROM event_days WHERE type_id = ANY(CAST(:type AS bigint[])) AND person_id = ANY(CAST(:person AS bigint[]))
  AND count <= 0
""")


def _tell(new: Sequence[Stored], changed: Sequence[Stored], before: Sequence[Any]) -> None:
    if not new and not changed:
        return
    persons = {one.person_id for one in [*new, *changed]} | {old.old_person_id for old in before}
    types = {one.type_id for one in [*new, *changed]} | {old.old_type_id for old in before}
    shown = set(session().scalars(select(EventType.id).where(EventType.id.in_(types), EventType.on_timeline)))
    publish(
        BehaviourStored(
            person_ids=tuple(sorted(persons)),
            type_ids=tuple(sorted(types)),
            new=tuple(new),
            timeline=tuple(one for one in [*new, *changed] if one.type_id in shown),
            recount=bool(changed),
        )
    )
