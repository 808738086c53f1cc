"""What is said of people: every value with its source and time, written for many persons at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Actor
from scrm.media.models import MediaFile
from scrm.media.service.showing import hidden_among
from scrm.people.queries.fields import FieldSpec, FieldType, field_specs
from scrm.people.queries.files import files_named
from scrm.people.service.checking import checked
from scrm.people.service.surviving import recompute_fields

STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Said:
    """A source says this of one person; ``value`` is in the form of :func:`scrm.people.service.checking.checked`."""

    person_id: int
    field: str
    value: Any
    source: str
    at: datetime


def write_values(said: Sequence[Said]) -> dict[int, list[str]]:
    """Keep what was said, each thing once, and bring the standing values up to date.

    :returns: the fields whose standing value changed, by person
    """
    if not said:
        return {}
    rows = [
        {"person_id": s.person_id, "field": s.field, "value": s.value, "source": s.source, "at": s.at}
        for s in said
    ]
    people = sorted({s.person_id for s in said})
    session().execute(_LOCK, {"ids": people})
    session().execute(_SAY, {"rows": orjson.dumps(rows).decode()})
    return recompute_fields(people, sorted({s.field for s in said}))


_LOCK = text("SELECT id FROM people WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_SAY = text("""
INSERT INTO person_values (person_id, field, value, source, at)
SELECT DISTINCT r.person_id, r.field, NULLIF(r.value, 'null'), r.source, r.at
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(person_id bigint, field text, value jsonb, source text, at timestamptz)
WHERE NOT EXISTS (SELECT FROM person_values v WHERE v.person_id = r.person_id AND v.field = r.field
  AND v.source = r.source AND v.at = r.at AND v.value IS NOT DISTINCT FROM NULLIF(r.value, 'null'))
ORDER BY r.person_id, r.field
""")


def set_values(person_id: int, values: Mapping[str, Any], actor: Actor, at: datetime) -> None:
    """Write values that a person in charge gave, all or none.

    :raises InvalidInput: with every wrong field by name
    """
    specs, problems, said = field_specs(), {}, []
    for key, value in values.items():
        try:
            spec = _writable(specs, key, actor)
            if value is None and spec.required:
                raise ValueError("is required and cannot be cleared")
            said.append(Said(person_id, key, checked(spec, value), STAFF, at))
        except ValueError as problem:
            problems[f"values.{key}"] = str(problem)
    problems |= {f"values.{s.field}": NO_FILE for s in missing_files(said, specs, actor)}
    if problems:
        raise InvalidInput("some values are not right", fields=problems)
    write_values(said)


NO_FILE = "must be the id of a file of the media library; there is none with this id"


def _writable(specs: Mapping[str, FieldSpec], key: str, actor: Actor) -> FieldSpec:
    spec = specs.get(key)
    if spec is None or not may(spec.seen_with, actor):
        raise ValueError("is no field; GET /api/v1/fields lists them")
    if not may(spec.written_with, actor):
        raise ValueError(f"is written with one of these permissions only: {', '.join(spec.written_with)}")
    return spec


def may(permissions: Iterable[str], actor: Actor) -> bool:
    """Whether the actor holds one of these permissions, or none is asked for."""
    wanted = set(permissions)
    return not wanted or bool(wanted & {str(held) for held in actor.permissions})


def hidden_fields(actor: Actor) -> set[str]:
    """Keys of the fields that an actor may not see; archived ones too."""
    return {key for key, spec in field_specs(archived=True).items() if not may(spec.seen_with, actor)}


def missing_files(said: Sequence[Said], specs: Mapping[str, FieldSpec], actor: Actor) -> list[Said]:
    """Those that name a file which is not in the media library, or which is hidden from the actor who says it.

    Somebody who writes of all people may name again what values of the same field name: nobody sees more by that.
    """
    files = [s for s in said if specs[s.field].type is FieldType.FILE and s.value is not None]
    if not files:
        return []
    known = select(MediaFile.id).where(
        MediaFile.id.in_([s.value for s in files]), MediaFile.deleted_at.is_(None)
    )
    there = set(session().scalars(known.with_for_update(read=True)))  # nobody deletes them before we are done
    hidden = hidden_among(actor, there)
    closed = {(s.field, s.value) for s in files if s.value in hidden}
    if actor.scope.everyone:
        closed -= files_named(closed)
    return [s for s in files if s.value not in there or (s.field, s.value) in closed]
