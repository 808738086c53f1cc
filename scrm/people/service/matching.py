"""Pairs of persons who may be one: merged by themselves when nothing speaks against it, or decided by a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import select, text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.people.models import MatchState, PersonMatch
from scrm.people.queries.survivors import survivors
from scrm.people.service.deciding import objections
from scrm.people.service.merging import Pair, lock_people, merge, merge_pairs
from scrm.people.service.resolving import identities_of

BY = "matching"


def merge_wanted(limit: int) -> int:
    """Merge pairs that nothing speaks against; returns how many were looked at.

    A person is in one pair of a round only; its other pairs follow in the next. What speaks against a pair by now puts
    it before a person.
    """
    wanted = select(PersonMatch).where(PersonMatch.state == MatchState.WANTED).order_by(PersonMatch.id)
    wanted = wanted.limit(limit).with_for_update(skip_locked=True)
    matches = list(session().scalars(wanted.execution_options(populate_existing=True)))
    if not matches:
        return 0
    pairs = _present_pairs(matches)
    known = identities_of(person for pair in pairs.values() for person in pair)
    refused = {
        id_: against
        for id_, (kept, gone) in pairs.items()
        if (against := objections(known.get(kept, ()), known.get(gone, ())))
    }
    _open(refused)
    chosen = _disjoint({id_: pair for id_, pair in pairs.items() if id_ not in refused})
    states = lock_people([person for pair in chosen.values() for person in pair])
    whole = {id_: pair for id_, pair in chosen.items() if all(states[p] is None for p in pair)}
    if whole:
        merge_pairs(list(whole.values()), BY)
    _accept([match.id for match in matches if match.id not in pairs or match.id in whole], BY)
    return len(matches)


def _present_pairs(matches: Sequence[PersonMatch]) -> dict[int, Pair]:
    """(kept, gone) by match as the persons are now; pairs that became one person already are left out."""
    now = survivors(person for match in matches for person in (match.low_id, match.high_id))
    pairs = {}
    for match in matches:
        other = match.low_id if match.keep_id == match.high_id else match.high_id
        if now[match.keep_id] != now[other]:
            pairs[match.id] = (now[match.keep_id], now[other])
    return pairs


def _disjoint(pairs: dict[int, Pair]) -> dict[int, Pair]:
    """As many of the pairs as have no person in common."""
    taken: set[int] = set()
    chosen = {}
    for id_, pair in pairs.items():
        if taken.isdisjoint(pair):
            chosen[id_] = pair
            taken.update(pair)
    return chosen


def _open(refused: dict[int, tuple[dict[str, str], ...]]) -> None:
    if refused:
        rows = [{"id": id_, "reasons": list(refused[id_])} for id_ in sorted(refused)]
        session().execute(_OPEN, {"rows": orjson.dumps(rows).decode()})


_OPEN = text("""
UPDATE person_matches m SET state = 'open', kind = 'conflict', reasons = m.reasons || r.reasons
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, reasons jsonb) WHERE m.id = r.id
""")


def _accept(match_ids: Iterable[int], by: str) -> None:
    session().execute(_ACCEPT, {"ids": sorted(match_ids), "by": by, "now": utcnow()})


_ACCEPT = text("""
UPDATE person_matches SET state = 'accepted', decided_by = COALESCE(decided_by, :by),
  decided_at = COALESCE(decided_at, :now)
WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def accept_match(match_id: int, by: str, keep_id: int | None = None) -> int | None:
    """Merge the two persons of an open match; returns the merge, None when they are one person already.

    :param keep_id: whom to keep, of the two; the one that the match names without
    :raises NotFound: no such match
    :raises Conflict: decided already
    """
    match = _open_match(match_id)
    pair = _present_pairs([match]).get(match_id)
    if pair and keep_id is not None:
        if survivors([keep_id]).get(keep_id) not in pair:
            raise NotFound(f"keep_id: person {keep_id} is none of the two of match {match_id}")
        pair = pair if survivors([keep_id])[keep_id] == pair[0] else (pair[1], pair[0])
    merged = merge(*pair, by) if pair else None
    _accept([match_id], by)
    return merged


def reject_match(match_id: int, by: str) -> None:
    """Say that the two are different persons; they are never put side by side again.

    :raises NotFound: no such match
    :raises Conflict: decided already
    """
    match = _open_match(match_id)
    match.state, match.decided_by, match.decided_at = MatchState.REJECTED, by, utcnow()
    session().flush()


def _open_match(match_id: int) -> PersonMatch:
    statement = select(PersonMatch).where(PersonMatch.id == match_id).with_for_update()
    match = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if match is None:
        raise NotFound(f"there is no match {match_id}")
    if match.state not in {MatchState.OPEN, MatchState.WANTED}:
        raise Conflict(f"match {match_id} is {match.state} already")
    return match
