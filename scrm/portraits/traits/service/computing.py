"""Working traits out: for persons whose rows changed, and for everybody; the same statement, so the same values.

Whoever changes rows adds persons to the to-do list in the same transaction; what takes them sees those rows. The lock keeps
a run over everybody, which began before, from writing over what is newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import orjson
from sqlalchemy import exists, select, text

from scrm.behaviour.models import EventType
from scrm.kernel.batch import AHEAD
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction, share_in_transaction
from scrm.kernel.settings import settings
from scrm.portraits.events import TraitsChanged
from scrm.portraits.models import Trait, TraitWanted
from scrm.portraits.traits.service.definition import Compiled, compile_definition

LOCK = "traits"
DEFINING = "traits.definitions"  # shared by whoever changes rows, held alone by whoever changes a definition
ORDERS = 0
TOLD = 10_000  # persons of one event
Wanted = tuple[int, int | None]
"""(person, event type; ORDERS, or None for anything)"""


def want(pairs: Iterable[Wanted]) -> bool:
    """Put persons on the to-do list, as far as traits read what changed; says whether there were any."""
    read = _types_read()
    people: dict[int | None, set[int]] = {}
    for person_id, type_id in pairs:
        if type_id in read or (type_id is None and read):
            people.setdefault(type_id, set()).add(person_id)
    rows = [{"type_id": type_id, "people": sorted(found)} for type_id, found in people.items()]
    if rows:
        session().execute(_WANT, {"rows": orjson.dumps(rows).decode()})
    return bool(rows)


def want_buyers(product_ids: Sequence[int]) -> bool:
    """Put everybody on the list who ordered these products: their category or brand may have changed."""
    if ORDERS not in _types_read():
        return False
    session().execute(_WANT_BUYERS, {"ids": sorted(product_ids)})
    return True


def _types_read() -> set[int]:
    """Types of events that traits read, and ORDERS; nobody defines a trait before this transaction ends."""
    share_in_transaction(DEFINING)
    return set(session().scalars(_READ))


def wanted() -> bool:
    """Whether anybody is on the to-do list."""
    return bool(session().scalar(select(exists(select(TraitWanted.id)))))


def unapplied() -> list[int]:
    """Traits whose definition is not worked out for everybody."""
    late = Trait.applied_at.is_(None) | (Trait.applied_at < Trait.changed_at)
    return list(session().scalars(select(Trait.id).where(late).order_by(Trait.id)))


def compute_wanted(limit: int) -> int:
    """Work out those who wait longest; says how many list rows were taken."""
    hold_in_transaction(LOCK)
    taken = session().execute(_TAKE, {"limit": limit}).all()
    if taken:
        people: dict[int | None, set[int]] = {}
        for person_id, type_id in taken:
            people.setdefault(type_id, set()).add(person_id)
        for trait, event_type in _traits():
            reads = event_type.id if event_type else ORDERS
            if found := people.get(reads, set()) | people.get(None, set()):
                compute(trait, event_type, sorted(found))
    return len(taken)


def compute_for_everybody(trait_id: int) -> None:
    """Work out one trait for everybody."""
    hold_in_transaction(LOCK)
    for trait, event_type in _traits(trait_id):
        compute(trait, event_type, None)
        trait.applied_at = trait.changed_at


def _traits(trait_id: int | None = None) -> list[tuple[Trait, EventType | None]]:
    chosen = select(Trait).order_by(Trait.id).execution_options(populate_existing=True)
    found = list(session().scalars(chosen if trait_id is None else chosen.where(Trait.id == trait_id)))
    types = {one.key: one for one in session().scalars(select(EventType))} if found else {}
    return [(one, types.get(one.definition.get("event_type") or "")) for one in found]


def compute(trait: Trait, event_type: EventType | None, person_ids: Sequence[int] | None) -> None:
    """Write the values of one trait that differ, for these persons or for everybody, and tell who changed.

    A definition that no longer fits is noted at the trait, and its values stay.
    """
    try:
        compiled = compile_definition(trait.definition, event_type)
    except InvalidInput as problem:  # the event type lost a property since
        trait.problem = str(problem)
        return
    trait.problem = None
    now = utcnow()
    values: dict[str, Any] = {"trait": trait.id, "now": now, "until": now + 2 * AHEAD, **compiled.values}
    if person_ids is not None:
        values["ids"] = sorted(person_ids)
    if days := trait.definition["window_days"]:
        zone = settings().corp.zone
        today = in_zone(now, zone).date()
        values["since"] = datetime.combine(today - timedelta(days=days), time(), zone)
    statement = _statement(compiled, some=person_ids is not None, windowed=bool(days))
    changed = sorted(session().scalars(text(statement), values))
    events = [TraitsChanged(tuple(changed[n : n + TOLD]), (trait.id,)) for n in range(0, len(changed), TOLD)]
    publish(*events)


def _statement(compiled: Compiled, *, some: bool, windowed: bool) -> str:
    only = "AND {}.person_id = ANY(CAST(:ids AS bigint[]))" if some else ""
    limits = {
        f"only_{rows}": (only.format(alias) if some else "")
        + (f" AND {at} >= :since" if windowed else "")
        + (
            " AND e.at < :until" if rows == "events" else ""
        )  # nothing is later: partitions made ahead are skipped
        for rows, alias, at in (("events", "e", "e.at"), ("orders", "o", "o.paid_at"))
    }
    return _COMPUTE.format(
        rows=compiled.rows.format(**limits),
        aggregate=compiled.aggregate,
        column=compiled.column,
        only_values=only.format("t"),
    )


_COMPUTE = """
WITH rows AS ({rows}),
found AS (SELECT person_id, {aggregate} AS v FROM rows GROUP BY person_id),
differing AS (
  SELECT f.person_id, f.v FROM found f LEFT JOIN trait_values t ON t.trait_id = :trait AND t.person_id = f.person_id
  WHERE t.person_id IS NULL OR t.{column} IS DISTINCT FROM f.v),
written AS (
  INSERT INTO trait_values (trait_id, person_id, {column}, computed_at)
  SELECT :trait, person_id, v, :now FROM differing ORDER BY person_id
  ON CONFLICT (trait_id, person_id) DO UPDATE SET value_num = excluded.value_num, value_text = excluded.value_text,
    value_time = excluded.value_time, value_list = excluded.value_list, computed_at = excluded.computed_at),
gone AS (
  DELETE FROM trait_values t WHERE t.trait_id = :trait {only_values}
    AND NOT EXISTS (SELECT 1 FROM found f WHERE f.person_id = t.person_id)
  RETURNING t.person_id)
SELECT person_id FROM differing UNION ALL SELECT person_id FROM gone
"""
_WANT = text("""
INSERT INTO trait_wanted (person_id, type_id)
SELECT CAST(p AS bigint), r.type_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(type_id bigint, people jsonb)
CROSS JOIN LATERAL jsonb_array_elements(r.people) p
""")
_READ = text(f"""
SELECT y.id FROM traits t JOIN event_types y ON y.key = t.definition->>'event_type'
UNION SELECT {ORDERS} FROM traits WHERE definition->>'source' = 'order_lines'
""")  # noqa: S608  # a constant
_WANT_BUYERS = text(f"""
INSERT INTO trait_wanted (person_id, type_id) SELECT DISTINCT o.person_id, {ORDERS}
FROM order_lines l JOIN orders o ON o.id = l.order_id
WHERE l.product_id = ANY(CAST(:ids AS bigint[])) AND o.person_id IS NOT NULL
""")  # noqa: S608  # a constant
_TAKE = text("""
DELETE FROM trait_wanted WHERE id IN (
  SELECT id FROM trait_wanted ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING person_id, type_id
""")
