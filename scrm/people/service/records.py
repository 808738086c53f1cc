"""Records of persons that other systems send: identities and fields, a thousand at a time.

A record is known by (source, source_id). The same content again changes nothing; another content is what the source says
now. A record whose identities suddenly name somebody else puts the two persons side by side.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from scrm.kernel.batch import Batch, RowProblem, RowStatus, Shape, free_object, moment, text_of
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor
from scrm.people.models import MatchKind
from scrm.people.queries.fields import FieldSpec, field_specs
from scrm.people.service.checking import checked
from scrm.people.service.deciding import Match
from scrm.people.service.noting import note_matches
from scrm.people.service.sent import persons_of, sent_identities
from scrm.people.service.values import NO_FILE, Said, missing_files, write_values

Row = dict[str, Any]
ID_CHARS = 128
ROW = Shape(
    {"source_id": text_of(ID_CHARS), "identities": sent_identities, "fields": free_object, "at": moment},
    required=("source_id", "identities"),
)
NOBODY = {"identities": "holds nothing that identifies anybody: placeholders and blocked values do not count"}
TWICE = {"source_id": "is there twice in this batch; the later row counts"}


def take_people(batch: Batch, actor: Actor) -> None:
    """Take in a batch and note each row's result.

    :param actor: who sends it, and may name files that they may see
    """
    specs, now = field_specs(), utcnow()
    good = batch.read(lambda given: _checked_row(given, specs))
    good = _with_known_files(batch, _without_repetitions(batch, good), specs, actor)
    known = _known(batch.source, [row["source_id"] for _, row in good])
    prints = {index: _fingerprint(row) for index, row in good}
    fresh = []
    for index, row in good:
        before = known.get(row["source_id"])
        if before is not None and bytes(before.fingerprint) == prints[index]:
            batch.results[index] |= {"status": RowStatus.UNCHANGED.value, "person_id": before.person_id}
        else:
            fresh.append((index, row))
    _write(batch, fresh, known, now)
    _keep(batch, fresh, prints, now)


def _checked_row(given: Any, specs: Mapping[str, FieldSpec]) -> Row:
    row = ROW(given)
    problems = {}
    for key, value in row.get("fields", {}).items():
        try:
            if key not in specs:
                raise ValueError("is no field; GET /api/v1/fields lists them")
            row["fields"][key] = checked(specs[key], value)
        except ValueError as problem:
            problems[f"fields.{key}"] = str(problem)
    if problems:
        raise RowProblem(problems)
    return row


def _without_repetitions(batch: Batch, good: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
    last = {row["source_id"]: index for index, row in good}
    for index, row in good:
        if last[row["source_id"]] != index:
            batch.refuse(index, TWICE)
    return [(index, row) for index, row in good if last[row["source_id"]] == index]


def _with_known_files(
    batch: Batch, good: list[tuple[int, Row]], specs: Mapping[str, FieldSpec], actor: Actor
) -> list[tuple[int, Row]]:
    said = [Said(index, k, v, "", utcnow()) for index, row in good for k, v in row.get("fields", {}).items()]
    missing = missing_files(said, specs, actor)
    for one in missing:
        batch.refuse(one.person_id, {f"fields.{one.field}": NO_FILE})
    refused = {one.person_id for one in missing}
    return [(index, row) for index, row in good if index not in refused]


def _known(source: str, source_ids: Sequence[str]) -> dict[str, Any]:
    """Records taken in before, by source_id; locked, so that two batches with one record come one after the other."""
    rows = session().execute(_KNOWN, {"source": source, "ids": sorted(source_ids)})
    return {row.source_id: row for row in rows}


_KNOWN = text("""
SELECT source_id, person_id, fingerprint FROM person_records
WHERE source = :source AND source_id = ANY(CAST(:ids AS text[])) ORDER BY source_id FOR UPDATE
""")


def _fingerprint(row: Row) -> bytes:
    said = {
        "identities": sorted([key.kind, key.value] for key in row["identities"]),
        "fields": row.get("fields"),
        "at": row.get("at"),
    }
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _write(batch: Batch, fresh: Sequence[tuple[int, Row]], known: Mapping[str, Any], now: datetime) -> None:
    """Persons and values of the rows that are new or changed."""
    persons = persons_of([row["identities"] for _, row in fresh], batch.source)
    said, moved = [], []
    for (index, row), person in zip(fresh, persons, strict=True):
        if person is None:
            batch.refuse(index, NOBODY)
            continue
        before = known.get(row["source_id"])
        if before is not None and before.person_id != person:
            moved.append((before.person_id, person))
        status = RowStatus.CREATED if before is None else RowStatus.UPDATED
        batch.results[index] |= {"status": status.value, "person_id": person}
        at = row.get("at", now)
        said += [Said(person, key, value, batch.source, at) for key, value in row.get("fields", {}).items()]
    write_values(said)
    _put_side_by_side(moved, batch.source)


def _put_side_by_side(moved: Sequence[tuple[int, int]], source: str) -> None:
    """One record named two persons over time: one, if the second is nobody else's; otherwise a person decides."""
    if not moved:
        return
    times = Counter(person for _, person in moved)
    free = set(session().scalars(_NOBODY_ELSES, {"ids": sorted(times)}))
    reason = {"code": "same_record", "source": source}
    kinds = {p: MatchKind.SHARED if p in free and times[p] == 1 else MatchKind.CONFLICT for p in times}
    note_matches([Match(before, person, kinds[person], (reason,)) for before, person in moved])


_NOBODY_ELSES = text("""
SELECT p.id FROM people p WHERE p.id = ANY(CAST(:ids AS bigint[]))
AND NOT EXISTS (SELECT FROM customer_people c WHERE c.person_id = p.id)
AND NOT EXISTS (SELECT FROM person_records r WHERE r.person_id = p.id)
""")


def _keep(batch: Batch, fresh: Sequence[tuple[int, Row]], prints: Mapping[int, bytes], now: datetime) -> None:
    rows = [
        {
            "source_id": row["source_id"],
            "person_id": batch.results[index]["person_id"],
            "print": prints[index].hex(),
        }
        for index, row in fresh
        if "person_id" in batch.results[index]
    ]
    values = {"source": batch.source, "now": now, "rows": orjson.dumps(rows).decode()}
    session().execute(_KEEP, values)


_KEEP = text("""
INSERT INTO person_records (source, source_id, person_id, fingerprint, at)
SELECT :source, source_id, person_id, decode(print, 'hex'), :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(source_id text, person_id bigint, print text) ORDER BY source_id
ON CONFLICT (source, source_id) DO UPDATE
SET person_id = excluded.person_id, fingerprint = excluded.fingerprint, at = excluded.at
""")
