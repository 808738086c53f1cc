"""Keeping the facts of relations and the losses that follow from them. Set-based; never commits.

Facts of one relation come one transaction after the other (customers lock the relation first), so whoever writes last
works the losses out of everything that is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import text

from scrm.customers.events import ContactFact, ContactRecorded
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.losses.events import LossesChanged
from scrm.losses.models import Turn
from scrm.losses.service.around import count_others, look_around
from scrm.losses.service.folding import Ended, Fact, fold

Relation = tuple[int, int]
"""(customer id, staff id)"""
TRANSFER = "DELETE_BY_TRANSFER"  # wecom-api.md section 3.1
TURNS = {
    ContactFact.ADDED: Turn.ADDED,
    ContactFact.HALF_ADDED: Turn.HALF_ADDED,
    ContactFact.LOST_BY_STAFF: Turn.LOST_BY_STAFF,
    ContactFact.LOST_BY_CUSTOMER: Turn.LOST_BY_CUSTOMER,
}


def note_facts(events: Sequence[ContactRecorded]) -> None:
    """Keep what was recorded of relations, and work out their losses."""
    rows = [row for event in events if event.fact in TURNS for row in _rows(event)]
    if rows:
        _keep(rows)
        refold((row["customer_id"], row["staff_id"]) for row in rows)


def _rows(event: ContactRecorded) -> list[dict[str, Any]]:
    relation = {"customer_id": event.customer_id, "staff_id": event.staff_id}
    turn, state = (
        TURNS[event.fact],
        event.note if event.fact in (ContactFact.ADDED, ContactFact.HALF_ADDED) else None,
    )
    if event.fact is ContactFact.LOST_BY_STAFF and event.note == TRANSFER:
        turn = Turn.TRANSFERRED
    rows = [{**relation, "at": event.at, "turn": turn, "found": event.found, "state": state}]
    if event.replaced:
        at, before = event.replaced
        rows.append({**relation, "at": at, "turn": Turn.ADDED, "found": True, "state": before})
    return rows


def _keep(rows: Sequence[Mapping[str, Any]]) -> None:
    session().execute(_KEEP, {"rows": orjson.dumps(list(rows)).decode()})


_MERGED = "ON CONFLICT (customer_id, staff_id, at, turn) DO UPDATE SET found = f.found AND excluded.found,"
_MERGED += " state = GREATEST(f.state, excluded.state)"
_KNOWN = f"""
SELECT f.customer_id, f.staff_id, k.at, k.turn, true AS found, k.state
FROM wanted JOIN follows f USING (customer_id, staff_id) CROSS JOIN LATERAL (VALUES
  (f.added_at, '{Turn.ADDED}', CASE WHEN f.state_at = f.added_at THEN f.state END),
  (f.half_added_at, '{Turn.HALF_ADDED}', CASE WHEN f.state_at = f.half_added_at THEN f.state END),
  (f.deleted_by_customer_at, '{Turn.LOST_BY_CUSTOMER}', NULL),
  (CASE WHEN NOT COALESCE(f.confirmed_at > f.deleted_by_staff_at AND f.added_at < f.deleted_by_staff_at, false)
     THEN f.deleted_by_staff_at END,
   CASE WHEN f.delete_source = '{TRANSFER}' THEN '{Turn.TRANSFERRED}' ELSE '{Turn.LOST_BY_STAFF}' END, NULL)
) AS k(at, turn, state) WHERE k.at IS NOT NULL"""  # noqa: S608  # names of this module's own constants
"""What the relation itself says; an end that WeCom contradicts by showing the relation again was none."""
_KEEP = text(f"""
WITH told AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id bigint,
  staff_id bigint, at timestamptz, turn text, found boolean, state text)),
wanted AS (SELECT DISTINCT customer_id, staff_id FROM told)
INSERT INTO loss_facts AS f (customer_id, staff_id, at, turn, found, state)
SELECT customer_id, staff_id, at, turn, bool_and(found), max(state)
FROM (SELECT * FROM told UNION ALL {_KNOWN}) u GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 {_MERGED}
""")  # noqa: S608
_WANTED = "unnest(CAST(:customers AS bigint[]), CAST(:staff AS bigint[])) AS wanted(customer_id, staff_id)"
_KEEP_KNOWN = text(f"""
WITH wanted AS (SELECT * FROM {_WANTED})
INSERT INTO loss_facts AS f (customer_id, staff_id, at, turn, found, state)
SELECT * FROM ({_KNOWN}) k ORDER BY 1, 2, 3, 4 {_MERGED}
""")  # noqa: S608
_VOID = text(f"""
DELETE FROM loss_facts l USING {_WANTED}, follows f
WHERE l.customer_id = wanted.customer_id AND l.staff_id = wanted.staff_id AND l.found AND l.turn = '{Turn.LOST_BY_STAFF}'
AND f.customer_id = l.customer_id AND f.staff_id = l.staff_id
AND f.status IN ('active', 'deleted_by_customer') AND f.confirmed_at > l.at AND f.added_at < l.at
""")  # noqa: S608
"""A relation that is shown again with its old time of adding was never gone: an app could not see the member a while."""


def reconsider(relations: Iterable[Relation]) -> None:
    """Work out the losses of relations from what their rows say by now, which no event may have told."""
    pairs = sorted(set(relations))
    if pairs:
        values = _columns(pairs)
        session().execute(_VOID, values)
        session().execute(_KEEP_KNOWN, values)
        refold(pairs)


def refold(relations: Iterable[Relation]) -> None:
    """Make the losses of these relations what their facts say."""
    pairs = set(relations)
    customers = sorted({customer for customer, _ in pairs})
    facts = _facts(pairs, customers)
    present: dict[Relation, list[Any]] = defaultdict(list)
    for row in session().execute(_SELECT_LOSSES, {"customers": customers}):
        if (pair := (row.customer_id, row.staff_id)) in pairs:
            present[pair].append(row)
    changes = _Changes()
    for pair in sorted(facts.keys() | present.keys()):
        changes.compare(pair, fold(facts.get(pair, ())), present.get(pair, []))
    _write(changes)
    count_others(customers)


def _columns(pairs: Sequence[Relation]) -> dict[str, list[int]]:
    return {"customers": [customer for customer, _ in pairs], "staff": [staff for _, staff in pairs]}


def _facts(pairs: Collection[Relation], customers: Sequence[int]) -> dict[Relation, list[Fact]]:
    """Facts of those relations that ever ended."""
    found: dict[Relation, list[Fact]] = defaultdict(list)
    for row in session().execute(_SELECT_FACTS, {"customers": customers}):
        if (pair := (row.customer_id, row.staff_id)) in pairs:
            found[pair].append(Fact(row.at, Turn(row.turn), row.found, row.state))
    return found


_SELECT_FACTS = text(f"""
SELECT * FROM (SELECT l.*, bool_or(l.turn NOT IN ('{Turn.ADDED}', '{Turn.HALF_ADDED}')) OVER own AS ended
  FROM loss_facts l WHERE l.customer_id = ANY(CAST(:customers AS bigint[]))
  WINDOW own AS (PARTITION BY l.customer_id, l.staff_id)) f WHERE f.ended
""")  # noqa: S608
_SELECT_LOSSES = text("""
SELECT l.* FROM losses l WHERE l.customer_id = ANY(CAST(:customers AS bigint[])) ORDER BY l.lost_at
""")


class _Changes:
    """Rows to write, to change and to delete so that the table says what the facts say."""

    def __init__(self) -> None:
        self.new: list[dict[str, Any]] = []
        self.changed: list[dict[str, Any]] = []
        self.gone: list[Any] = []
        self.moved: list[Any] = []

    def compare(self, pair: Relation, ended: Sequence[Ended], present: Sequence[Any]) -> None:
        """A row stays the same loss as long as its time lies in the stay, so that nobody is told of it twice."""
        left = list(present)
        for one in ended:
            row = next((row for row in left if _lies_in(row.lost_at, one)), None)
            if row is not None:
                left.remove(row)
            self._put(pair, one, row)
        self.gone += left

    def _put(self, pair: Relation, one: Ended, row: Any) -> None:
        values = {
            "customer_id": pair[0],
            "staff_id": pair[1],
            **{name: getattr(one, name) for name in FIELDS},
        }
        if row is None:
            self.new.append(values)
        elif any(getattr(row, name) != getattr(one, name) for name in FIELDS):
            other = any(getattr(row, name) != getattr(one, name) for name in ("lost_at", "lost_by", "found"))
            self.changed.append({**values, "id": row.id, "judge": other})
            if other:
                self.moved.append(row)


FIELDS = ("lost_at", "lost_by", "found", "added_at", "returned_at", "state")


def _lies_in(moment: Any, stay: Ended) -> bool:
    begun = stay.added_at is None or stay.added_at <= moment
    return begun and (stay.returned_at is None or moment < stay.returned_at)


def _write(changes: _Changes) -> None:
    current = session()
    if changes.gone:
        current.execute(_DELETE, {"ids": [row.id for row in changes.gone]})
    ids: list[int] = []
    if changes.changed:
        rows = orjson.dumps(sorted(changes.changed, key=lambda row: row["id"])).decode()
        ids += current.scalars(_UPDATE, {"rows": rows})
    if changes.new:
        ids += current.scalars(_INSERT, {"rows": orjson.dumps(changes.new).decode()})
    look_around(ids)
    if doubted := [
        row for row in (*changes.gone, *changes.moved) if row.lost_by == "staff" and not row.found
    ]:
        values = {"staff": [row.staff_id for row in doubted], "moments": [row.lost_at for row in doubted]}
        current.execute(_DOUBT, values)
    if ids or doubted:
        publish(LossesChanged())


_DELETE = text("DELETE FROM losses WHERE id = ANY(CAST(:ids AS bigint[]))")
_RECORD = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, customer_id bigint, staff_id bigint, lost_at timestamptz,
  lost_by text, found boolean, added_at timestamptz, returned_at timestamptz, state text, judge boolean)"""
_UPDATE = text(f"""
UPDATE losses l SET {", ".join(f"{name} = r.{name}" for name in FIELDS)}, updated_at = now(),
  judged_at = CASE WHEN r.judge THEN NULL ELSE l.judged_at END
FROM {_RECORD} WHERE l.id = r.id RETURNING l.id
""")  # noqa: S608
_INSERT = text(f"""
INSERT INTO losses (customer_id, staff_id, {", ".join(FIELDS)})
SELECT customer_id, staff_id, {", ".join(FIELDS)} FROM {_RECORD} ORDER BY customer_id, staff_id, lost_at RETURNING id
""")  # noqa: S608
_DOUBT = text("""
UPDATE loss_alarms a SET doubtful = true
FROM unnest(CAST(:staff AS bigint[]), CAST(:moments AS timestamptz[])) AS d(staff_id, at)
WHERE a.staff_id = d.staff_id AND d.at BETWEEN a.first_at AND a.last_at
""")


def move_relations(kept_id: int, gone_id: int) -> None:
    """Two rows of one member became one: what is known of both is known of one, and no loss comes of it."""
    ids = {"kept": kept_id, "gone": gone_id}
    current = session()
    customers = current.scalars(_MOVE_FACTS, ids).all()
    current.execute(_MOVE_ALARMS, ids)
    current.execute(_MOVE_LOSSES, ids)
    reconsider((customer, kept_id) for customer in customers)


_MOVE_FACTS = text(f"""
WITH gone AS (DELETE FROM loss_facts WHERE staff_id = :gone RETURNING customer_id, at, turn, found, state),
made AS (INSERT INTO loss_facts AS f (customer_id, staff_id, at, turn, found, state)
  SELECT customer_id, :kept, at, turn, found, state FROM gone ORDER BY 1, 3, 4 {_MERGED} RETURNING customer_id)
SELECT DISTINCT customer_id FROM made
""")  # noqa: S608
_MOVE_ALARMS = text("UPDATE loss_alarms SET staff_id = :kept, doubtful = true WHERE staff_id = :gone")
_MOVE_LOSSES = text("""
WITH double AS (DELETE FROM losses g USING losses k WHERE g.staff_id = :gone AND k.staff_id = :kept
  AND k.customer_id = g.customer_id AND k.lost_at = g.lost_at RETURNING g.id)
UPDATE losses SET staff_id = :kept, updated_at = now() WHERE staff_id = :gone AND id NOT IN (SELECT id FROM double)
""")
