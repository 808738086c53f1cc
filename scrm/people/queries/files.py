"""Files of the media library that values of people are: who names one, and who may see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from scrm.kernel.db import session
from scrm.kernel.permissions import Actor, Permission
from scrm.people.models import CustomField, PersonField, PersonValue
from scrm.people.queries.fields import FieldType, field_specs
from scrm.people.queries.people import visible_people, visible_survivor

FILE_KEYS = select(CustomField.key).where(CustomField.type == FieldType.FILE)  # archived ones too


def field_naming(file_id: int, actor: Actor | None = None) -> str | None:
    """A value that is this file, in words; None where there is none.

    One that stands, or one kept beside it (of another source, or an earlier one), which stands again when rules change
    or an import is undone; not one that its source took back by saying that there is none.

    :param actor: who is told, and not of whom or where when they may not see that; None: the program itself
    """
    current = session()
    found = current.execute(_standing(file_id)).first() or current.execute(_kept(file_id)).first()
    if found is None:
        return None
    if actor is None or _may_see(actor, found.field, found.person_id):
        return f"the field {found.field} of person {found.person_id}"
    return "a field of a person that this key may not see"


def _may_see(actor: Actor, field: str, person_id: int) -> bool:
    return field in _file_fields(actor)[1] and visible_survivor(actor.scope, person_id) is not None


def _standing(file_id: int) -> Select[str, int]:
    return (
        select(PersonField.field, PersonField.person_id)
        .where(PersonField.field.in_(FILE_KEYS), PersonField.value_num == file_id)
        .limit(1)
    )


def _is_file(file_id: Any) -> ColumnElement[bool]:
    """Whether a value is this number."""
    return and_(_numbers(), PersonValue.value == func.to_jsonb(file_id))


def _numbers() -> ColumnElement[bool]:
    """Values that are numbers, as all files are: the planner knows then how little it has to hash."""
    return func.jsonb_typeof(PersonValue.value) == "number"


def _kept(file_id: int) -> Select[str, int]:
    later = aliased(PersonValue)
    taken_back = exists(
        select(later.id).where(
            later.person_id == PersonValue.person_id,
            later.field == PersonValue.field,
            later.source == PersonValue.source,
            later.value.is_(None),
            tuple_(later.at, later.id) > tuple_(PersonValue.at, PersonValue.id),
        )
    )
    return (
        select(PersonValue.field, PersonValue.person_id)
        .where(PersonValue.field.in_(FILE_KEYS), _is_file(file_id), ~taken_back)
        .limit(1)
    )


def files_seen(actor: Actor, file_id: Any) -> ColumnElement[bool] | None:
    """The clause of the files that no value of a person names, or one that the actor may see; None: all of them.

    A value is seen with ``people:read``, one of the field's ``seen_with`` and the person in the data scope. Every value
    that was ever kept counts, as ``GET /people/{id}/fields/{key}/values`` shows them; a field that was archived still
    asks for what it asked for.

    :param file_id: the column of ids of files
    """
    files, seen = _file_fields(actor)
    if len(seen) == len(files) and actor.scope.everyone:
        return None
    this = _is_file(file_id)
    named = select(PersonValue.id).where(PersonValue.field.in_(files), this)
    shown = select(PersonValue.id).where(
        PersonValue.field.in_(seen), this, visible_people(actor.scope, PersonValue.person_id)
    )
    return or_(~exists(named), exists(shown))


def _file_fields(actor: Actor) -> tuple[list[str], list[str]]:
    """Fields that hold files, and those of them that an actor may see."""
    held = {str(permission) for permission in actor.permissions}
    files = {k: set(s.seen_with) for k, s in field_specs(archived=True).items() if s.type is FieldType.FILE}
    reads = Permission.PEOPLE_READ in actor.permissions
    return list(files), [key for key, wanted in files.items() if reads and (not wanted or held & wanted)]


def files_named(pairs: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of these pairs of a field and a file that are values of people already."""
    wanted = set(pairs)
    if not wanted:
        return set()
    values = [func.to_jsonb(file_id) for file_id in sorted({file_id for _, file_id in wanted})]
    found = select(PersonValue.field, PersonValue.value).where(
        PersonValue.field.in_({field for field, _ in wanted}), _numbers(), PersonValue.value.in_(values)
    )
    return wanted & {(row.field, row.value) for row in session().execute(found.distinct())}
