"""What changed since a snapshot: read from the changes that triggers note (migration 0005)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.kernel.snapshots import Snapshot
from scrm.people.models import CustomerPerson
from tags.arrays import is_one_of

NOTHING = 2**63 - 1
MOST_CHANGES = 50_000
MOST_IDS = 200_000  # of one look; beyond them a change is one of anybody, so that a bulk load fills no memory


@dataclass(frozen=True)
class Change:
    """Facts of these customers or persons changed; None: of anybody."""

    xid: int
    source: str
    ids: Sequence[int] | None


@dataclass(frozen=True)
class Look:
    """A moment, and the changes up to it.

    :param writing: this transaction has written something itself, which nobody else sees yet
    :param below: changes of transactions with smaller numbers are forgotten
    :param cut: there are more changes than were asked for
    """

    snapshot: Snapshot
    writing: bool
    below: int
    changes: Sequence[Change]
    cut: bool

    def knows_since(self, old: Snapshot) -> bool:
        """Whether every change since ``old`` is among these; not for a snapshot of a database that was set back."""
        return not self.cut and self.snapshot.knows_since(old, self.below)

    def since(self, old: Snapshot, sources: Collection[str]) -> list[Change]:
        """The changes in ``sources`` that ``old`` did not see."""
        return [each for each in self.changes if each.source in sources and not old.shows(each.xid)]


_LOOK = text("""
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, pg_current_xact_id_if_assigned() IS NOT NULL AS writing,
  COALESCE((SELECT below FROM set_horizon), 0) AS below, c.xid, c.source, CASE WHEN c.until <= :ids THEN c.ids END AS ids
FROM (SELECT) AS once LEFT JOIN
  (SELECT xid, source, ids, sum(cardinality(ids)) OVER (ORDER BY xid, id) AS until
   FROM set_changes WHERE xid >= :since ORDER BY xid, id LIMIT :most) AS c ON true
""")


def look(since: Sequence[Snapshot] = (), most: int = MOST_CHANGES) -> Look:
    """The present moment and what changed since the oldest of some snapshots, in one statement.

    :param most: how many changes to read at most
    """
    begin = min((old.xmin for old in since), default=NOTHING)
    rows = session().execute(_LOOK, {"since": begin, "most": most + 1, "ids": MOST_IDS}).all()
    first = rows[0]
    changes = [Change(row.xid, row.source, row.ids) for row in rows if row.xid is not None]
    return Look(
        Snapshot.parse(first.snapshot), first.writing, first.below, changes[:most], len(changes) > most
    )


def customers_of_persons(person_ids: BitMap64) -> BitMap64:
    """The customers whom these persons are."""
    statement: Any = select(CustomerPerson.customer_id).where(is_one_of(CustomerPerson.person_id, person_ids))
    return BitMap64(session().scalars(statement).all()) if person_ids else BitMap64()
