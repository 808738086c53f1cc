"""When value is worked out again: for persons whose orders changed, for everybody at night and after new settings.

Whoever changes orders adds persons to the to-do list in the same transaction; what takes them sees those orders. The lock
keeps a run over everybody, which began before, from writing over what is newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import exists, select, text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from scrm.value.events import ValueChanged
from scrm.value.models import ValueWanted
from scrm.value.service.lifecycle import stage_people
from scrm.value.service.restoring import restore_stages
from scrm.value.service.rfm import score

LOCK = "value"
TOLD = 10_000  # persons of one event


def want(person_ids: Iterable[int]) -> None:
    """Put persons on the to-do list."""
    session().execute(_WANT, {"ids": sorted(set(person_ids))})


def wanted() -> bool:
    """Whether anybody is on the to-do list."""
    return bool(session().scalar(select(exists(select(ValueWanted.id)))))


def recompute_wanted(limit: int) -> int:
    """Work out those who wait longest; says how many list rows were taken."""
    hold_in_transaction(LOCK)
    taken = list(session().scalars(_TAKE, {"limit": limit}))
    if taken:
        restore_stages(sorted(set(taken)))
        _recompute(sorted(set(taken)))
    return len(taken)


def recompute_everybody() -> None:
    """Work out everybody."""
    hold_in_transaction(LOCK)
    session().execute(text("UPDATE value_settings SET applied_at = changed_at"))
    restore_stages(sorted(set(session().scalars(select(ValueWanted.person_id)))))
    _recompute(None)


def _recompute(person_ids: Sequence[int] | None) -> None:
    changed = sorted({*score(person_ids), *stage_people(person_ids)})
    publish(*(ValueChanged(tuple(changed[n : n + TOLD])) for n in range(0, len(changed), TOLD)))


_WANT = text("INSERT INTO value_wanted (person_id) SELECT unnest(CAST(:ids AS bigint[]))")
_TAKE = text("""
DELETE FROM value_wanted WHERE id IN (
  SELECT id FROM value_wanted ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING person_id
""")
