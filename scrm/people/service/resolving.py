"""From identities to persons: found, or made, a thousand records at a time.

A record's surest identity decides whose it is; its other identities are added to that person. Where they already belong
to somebody else, nothing moves here: the two persons are put side by side, to be merged by a job when nothing speaks
against it, or by a person. So this only ever adds rows, and batches may name the same new values at the same moment:
the unique key of ``identities`` lets one of them make the person, and the other looks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.people.events import PeopleFound
from scrm.people.models import PersonIdentity
from scrm.people.service.deciding import Batch, Known
from scrm.people.service.identity import Identity, identifying
from scrm.people.service.noting import note_claims, note_matches

MOST_ROUNDS = 10


class Overtaken(Exception):  # noqa: N818  # no error: another batch was quicker
    """Another transaction wrote an identity or merged a person that this one was about to use."""


def resolve(keys: Sequence[Sequence[Identity]], source: str) -> list[int | None]:
    """The person of each record, made when nobody is known by any of its identities; inside a transaction.

    The persons cannot be merged into others before the transaction ends, so rows written with their ids stay right. Call
    it once per transaction, before other locks are taken.

    :param keys: of each record, what identifies its person, in any order; values that identify nobody
        (``Identity.identifies``) are left out
    :param source: who says so, such as ``mall``; kept with each new identity
    :returns: person ids in the order of ``keys``; None where nothing of a record identifies anybody
    """
    usable = frozenset(identifying({key for record in keys for key in record}))
    records = [sorted(usable.intersection(record)) for record in keys]
    if not usable:
        return [None] * len(records)
    for _ in range(MOST_ROUNDS):
        try:
            with session().begin_nested():
                return _resolve(records, source)
        except Overtaken:
            continue
    raise RuntimeError(f"persons were merged or found by others {MOST_ROUNDS} times in a row")


def _resolve(records: Sequence[Sequence[Identity]], source: str) -> list[int | None]:
    blocked, owners = _look_up({key for record in records for key in record})
    usable = [[key for key in record if key not in blocked] for record in records] if blocked else records
    _lock({owner.person_id for owner in owners.values()})
    settled = [_only_owner(record, owners) for record in usable]
    if None not in settled:
        return settled
    doubtful_records = [record for record, person in zip(usable, settled, strict=True) if person is None]
    places = iter(_place(doubtful_records, owners, source))
    return [next(places) if person is None else person for person in settled]


def _only_owner(record: Sequence[Identity], owners: Mapping[Identity, Known]) -> int | None:
    """The person whose all identities of a record are: nothing to decide and nothing to add. Else None."""
    persons = {owners[key].person_id if key in owners else None for key in record}
    return persons.pop() if len(persons) == 1 else None


def _place(
    usable: Sequence[Sequence[Identity]], owners: dict[Identity, Known], source: str
) -> list[int | None]:
    """The persons of records that name somebody new, nobody, or several; what they add is written."""
    batch = Batch(owners, source)
    doubtful = batch.persons_to_weigh(usable)
    if doubtful:
        batch.known = identities_of(doubtful)
    places = [batch.place(record) for record in usable]
    made = _make_people(batch.new_people)
    _write_identities(batch, made)
    note_claims([(key, made.get(p, p), source) for key, p in batch.claims])
    note_matches([match.with_ids(made) for match in batch.matches])
    if made:
        publish(PeopleFound(tuple(made.values())))
    return [None if place is None else made.get(place, place) for place in places]


def _look_up(keys: Iterable[Identity]) -> tuple[set[Identity], dict[Identity, Known]]:
    """(those that identify nobody any more, whose the others are)."""
    rows = orjson.dumps([{"kind": kind, "value": value} for kind, value in keys]).decode()
    blocked, owners = set(), {}
    for kind, value, id_, person_id in session().execute(_LOOK_UP, {"rows": rows}).all():
        key = Identity.stored(kind, value)
        if id_ is None:
            blocked.add(key)
        else:
            owners[key] = Known(id_, person_id)
    for key in blocked:
        owners.pop(key, None)
    return blocked, owners


_GIVEN = "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kind text, value text)"
_LOOK_UP = text(f"""
SELECT r.kind, r.value, i.id, i.person_id FROM {_GIVEN} JOIN identities i USING (kind, value)
UNION ALL
SELECT r.kind, r.value, NULL, NULL FROM {_GIVEN} JOIN blocked_values b USING (kind, value)
""")  # noqa: S608  # a constant


def person_with(key: Identity) -> int | None:
    """The person whom an identity names, if there is one; nobody is made."""
    found: int | None = session().scalar(
        select(PersonIdentity.person_id).where(
            PersonIdentity.kind == key.kind, PersonIdentity.value == key.value
        )
    )
    return found


def identities_of(person_ids: Iterable[int]) -> dict[int, list[Identity]]:
    """Every identity of some persons."""
    found: dict[int, list[Identity]] = {}
    rows = session().execute(
        text("SELECT person_id, kind, value FROM identities WHERE person_id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": sorted(person_ids)},
    )
    for row in rows:
        found.setdefault(row.person_id, []).append(Identity.stored(row.kind, row.value))
    return found


def _make_people(placeholders: Sequence[int]) -> dict[int, int]:
    """Ids of new persons by the (negative) number that stood for each."""
    if not placeholders:
        return {}
    ids = session().scalars(
        text("INSERT INTO people (created_at) SELECT now() FROM generate_series(1, :n) RETURNING id"),
        {"n": len(placeholders)},
    )
    return dict(zip(placeholders, sorted(ids), strict=True))


def _lock(person_ids: Iterable[int]) -> None:
    """Keep persons from being merged before this transaction ends.

    :raises Overtaken: one of them was merged a moment ago, or taken back with the import that made it
    """
    wanted = sorted(person_ids)
    listed = "{" + ",".join(map(str, wanted)) + "}"
    if wanted and session().scalar(_LOCK, {"ids": listed}) != len(wanted):
        raise Overtaken


_LOCK = text("""
SELECT count(*) FILTER (WHERE merged_into IS NULL) FROM (
  SELECT merged_into FROM people WHERE id = ANY(CAST(CAST(:ids AS text) AS bigint[])) ORDER BY id FOR KEY SHARE) p
""")  # the ids as one text: dumping a list costs the client more than the server's look


def _write_identities(batch: Batch, made: dict[int, int]) -> None:
    """Write new identities; raises Overtaken when another transaction wrote one of them first."""
    if not batch.additions:
        return
    rows: list[dict[str, Any]] = [
        {"kind": key.kind, "value": key.value, "person_id": made.get(person, person), "via_id": via}
        for key, (person, via) in sorted(batch.additions.items())
    ]
    values = {"rows": orjson.dumps(rows).decode(), "source": batch.source}
    written = session().execute(_WRITE, values).all()
    if len(written) < len(rows):
        raise Overtaken


_WRITE = text("""
INSERT INTO identities (kind, value, person_id, via_id, source)
SELECT kind, value, person_id, via_id, :source
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(kind text, value text, person_id bigint, via_id bigint)
ORDER BY kind, value ON CONFLICT (kind, value) DO NOTHING RETURNING id
""")
