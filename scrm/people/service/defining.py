"""The company's own fields: defined, changed, put away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.people.events import FieldRulesChanged
from scrm.people.models import CustomField
from scrm.people.queries.fields import BUILT_IN_KEYS, FieldSpec, FieldType, spec_of
from scrm.people.service.checking import TODAY, is_of_form

CHOOSING = {FieldType.CHOICE, FieldType.MULTI_CHOICE}
LIMITS: dict[FieldType, set[str]] = {
    FieldType.TEXT: {"max_length", "pattern"},
    FieldType.NUMBER: {"min", "max"},
    FieldType.DATE: {"min", "max"},
}


def create_field(data: Mapping[str, Any]) -> FieldSpec:
    """Define a field.

    :raises Conflict: there is one of this key
    :raises InvalidInput: choices or limits that do not fit the type
    """
    if data["key"] in BUILT_IN_KEYS:
        raise Conflict(f"field {data['key']} is built in; choose another key")
    _check(FieldType(data["type"]), data)
    made = insert(CustomField).values(**data).on_conflict_do_nothing().returning(CustomField)
    row = session().scalars(made).one_or_none()
    if row is None:
        raise Conflict(f"there is a field {data['key']} already")
    return spec_of(row)


def change_field(key: str, data: Mapping[str, Any]) -> FieldSpec:
    """Change a field of the company's own; a change of survivorship works out every standing value again.

    Values of a choice that is taken away stay as they were said.
    """
    row = session().scalars(select(CustomField).where(CustomField.key == key).with_for_update()).one_or_none()
    if row is None:
        built_in = " is built in and cannot be changed" if key in BUILT_IN_KEYS else " does not exist"
        raise (Conflict if key in BUILT_IN_KEYS else NotFound)(f"field {key}{built_in}")
    _check(FieldType(row.type), {"choices": row.choices, "limits": row.limits, **data})
    before = (row.survivorship, list(row.trusted))
    changes = dict(data)
    if (archived := changes.pop("archived", None)) is not None:
        row.archived_at = (row.archived_at or utcnow()) if archived else None
    for name, value in changes.items():
        setattr(row, name, value)
    if before != (row.survivorship, list(row.trusted)):
        row.choosing_after = 0
        publish(FieldRulesChanged(key))
    session().flush()
    return spec_of(row)


def _check(kind: FieldType, data: Mapping[str, Any]) -> None:
    choices, limits = data.get("choices") or [], data.get("limits") or {}
    if bool(choices) != (kind in CHOOSING):
        raise InvalidInput.field(
            "choices", "must be given for choice and multi_choice, and for no other type"
        )
    values = [choice["value"] for choice in choices]
    if len(set(values)) < len(values):
        raise InvalidInput.field("choices", "must have different values")
    if strangers := sorted(limits.keys() - LIMITS.get(kind, set())):
        raise InvalidInput.field(f"limits.{strangers[0]}", f"does not fit fields of type {kind}")
    for name, value in limits.items():
        _check_limit(kind, name, value)
    if "min" in limits and "max" in limits and TODAY not in limits.values() and limits["min"] > limits["max"]:
        raise InvalidInput.field("limits.min", "must not be above max")


def _check_limit(kind: FieldType, name: str, value: Any) -> None:
    if name == "pattern":
        try:
            is_of_form("", value)
        except ValueError as error:
            raise InvalidInput.field(
                "limits.pattern", f"is no regular expression for this: {error}"
            ) from None
    elif kind is FieldType.DATE and not re.fullmatch(rf"\d{{4}}-\d\d-\d\d|{TODAY}", str(value)):
        raise InvalidInput.field(f"limits.{name}", "must be a day such as 1990-05-17, or today")
    elif kind is FieldType.NUMBER and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidInput.field(f"limits.{name}", "must be a number")
