"""Two persons become one, and two again."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.people.events import PeopleMerged, PeopleSplit
from scrm.people.service.consents import restore_consents, take_stricter
from scrm.people.service.journal import move_rows, restore_rows
from scrm.people.service.surviving import recompute_fields

Pair = tuple[int, int]
"""(person that is kept, person that is gone)"""


def merge(kept: int, gone: int, by: str) -> int:
    """Make ``gone`` part of ``kept``: customers, identities, values and every registered table go over.

    :param by: who wants it, such as ``apikey:3``
    :returns: id of the merge, for :func:`unmerge`
    :raises InvalidInput: one person twice
    :raises NotFound: no such person
    :raises Conflict: one of them is part of another person already
    """
    if kept == gone:
        raise InvalidInput.field("gone_id", "must be another person than kept_id")
    states = lock_people([kept, gone])
    for person in (kept, gone):
        if person not in states:
            raise NotFound(f"there is no person {person}")
        if states[person] is not None:
            raise Conflict(f"person {person} is part of person {states[person]}; merge that one")
    return merge_pairs([(kept, gone)], by)[0]


def lock_people(person_ids: Sequence[int]) -> dict[int, int | None]:
    """Wait until nobody else writes these persons and keep them; ``merged_into`` by id."""
    rows = session().execute(_LOCK, {"ids": sorted(set(person_ids))})
    return {row.id: row.merged_into for row in rows}


_LOCK = text("""
SELECT id, merged_into FROM people WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
""")


def merge_pairs(pairs: Sequence[Pair], by: str) -> list[int]:
    """Merge many pairs with a fixed number of statements; the persons are locked, whole, and each in one pair only.

    :returns: ids of the merges, in the order of the pairs
    """
    rows = [{"kept_id": kept, "gone_id": gone, "place": place} for place, (kept, gone) in enumerate(pairs)]
    values = {"rows": orjson.dumps(rows).decode(), "by": by, "now": utcnow()}
    ids = list(session().scalars(_BEGIN, values))
    move_rows(ids)
    take_stricter(ids)
    session().execute(_MARK, {"ids": ids, "by": by, "now": utcnow()})
    recompute_fields([person for pair in pairs for person in pair])
    publish(*(PeopleMerged(kept, gone) for kept, gone in pairs))
    return ids


_BEGIN = text("""
WITH made AS (
  INSERT INTO merges (kept_id, gone_id, by, at) SELECT kept_id, gone_id, :by, :now
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kept_id bigint, gone_id bigint, place bigint) ORDER BY place
  RETURNING id)
SELECT id FROM made ORDER BY id
""")
_MARK = text("""
WITH m AS MATERIALIZED (SELECT kept_id, gone_id FROM merges WHERE id = ANY(CAST(:ids AS bigint[]))),
marked AS (UPDATE people p SET merged_into = m.kept_id FROM m WHERE p.id = m.gone_id)
UPDATE person_matches x SET state = 'accepted', decided_at = :now, decided_by = COALESCE(x.decided_by, :by)
FROM m WHERE x.low_id = LEAST(m.kept_id, m.gone_id) AND x.high_id = GREATEST(m.kept_id, m.gone_id)
AND x.state <> 'accepted'
""")


def unmerge(merge_id: int, by: str) -> int:
    """Undo one merge: both have exactly what they had; what came since stays where its identity says.

    An identity that came with one of the restored person's goes back with it, and a customer goes with its
    external_userid; everything else that came since stays with the person that was kept. The pair is never merged
    again without a person's word.

    :returns: the person that is there again
    :raises NotFound: no such merge
    :raises Conflict: undone already, or a later merge has to be undone first
    """
    row = session().execute(_FIND, {"id": merge_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no merge {merge_id}")
    states = lock_people([row.kept_id, row.gone_id])
    undone = session().scalar(text("SELECT undone_at FROM merges WHERE id = :id"), {"id": merge_id})
    if undone is not None:
        raise Conflict(f"merge {merge_id} was undone already")
    if states[row.kept_id] is not None:
        later = session().scalar(_LATER, {"id": row.kept_id})
        raise Conflict(f"person {row.kept_id} is part of another now; undo merge {later} first")
    ids = {"merge": merge_id, "kept": row.kept_id, "gone": row.gone_id}
    restore_rows(merge_id)
    session().execute(_FOLLOW_IDENTITIES, ids)
    session().execute(_FOLLOW_CUSTOMERS, ids)
    restore_consents(merge_id)
    session().execute(_UNMARK, {**ids, "by": by, "now": utcnow()})
    recompute_fields([row.kept_id, row.gone_id])
    publish(PeopleSplit(row.kept_id, row.gone_id))
    restored: int = row.gone_id
    return restored


_FIND = text("SELECT kept_id, gone_id FROM merges WHERE id = :id")
_LATER = text("SELECT id FROM merges WHERE gone_id = :id AND undone_at IS NULL")
_FOLLOW_IDENTITIES = text("""
WITH RECURSIVE journal AS (
  SELECT CAST(e.key->>'id' AS bigint) AS id FROM merge_moves j, jsonb_array_elements(j.keys) AS e(key)
  WHERE j.merge_id = :merge AND j."table" = 'identities.person_id'),
came AS (
  SELECT i.id FROM identities i WHERE i.id IN (SELECT id FROM journal)
  UNION
  SELECT i.id FROM identities i JOIN came ON i.via_id = came.id WHERE i.person_id = :kept)
UPDATE identities i SET person_id = :gone FROM came WHERE i.id = came.id AND i.person_id = :kept
""")
_FOLLOW_CUSTOMERS = text("""
UPDATE customer_people p SET person_id = i.person_id FROM customers c, identities i
WHERE c.id = p.customer_id AND i.kind = 'external_userid' AND i.value = c.external_userid
AND p.person_id IN (:kept, :gone) AND i.person_id IN (:kept, :gone) AND p.person_id <> i.person_id
""")
_UNMARK = text("""
WITH undone AS (UPDATE merges SET undone_at = :now, undone_by = :by WHERE id = :merge),
unmarked AS (UPDATE people SET merged_into = NULL WHERE id = :gone)
INSERT INTO person_matches AS x (low_id, high_id, keep_id, kind, state, reasons, decided_by, decided_at)
VALUES (LEAST(CAST(:kept AS bigint), :gone), GREATEST(CAST(:kept AS bigint), :gone), :kept, 'conflict', 'rejected',
  jsonb_build_array(jsonb_build_object('code', 'unmerged', 'merge_id', CAST(:merge AS bigint))), :by, :now)
ON CONFLICT (low_id, high_id) DO UPDATE
SET state = 'rejected', decided_by = excluded.decided_by, decided_at = excluded.decided_at
""")
