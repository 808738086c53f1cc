"""What the columns of a file mean, checked once and then applied to every row.

A mapping as it is kept::

    {"source": "crm", "columns": [{"column": "手机", "to": "identity:phone"},
      {"column": "性别", "to": "field:gender", "translations": {"M": "male"}}],
     "constants": {"currency": "CNY"}, "decimal_comma": false}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scrm.imports.service.converting import Kind, Reading, convert
from scrm.imports.service.targets.registry import Target, TargetField, Values
from scrm.kernel.batch import source_name
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Actor
from scrm.kernel.settings import settings
from scrm.kernel.sheets.cells import Cell

OPENID = "identity:openid:"
NO_FIELD = "is no field of this target; GET /api/v1/imports/targets lists them"
KEYS = ("source_id", "identity:")


# Parts of a document that several columns make: whether a field is one of them.
MANY: dict[str, Callable[[str], bool]] = {
    "identities": lambda path: path.startswith("identity:"),
    "history": lambda path: path != "updated_at" and path.endswith(("at", "_at")) and ":" not in path,
}


@dataclass(frozen=True)
class Column:
    """One mapped column.

    :param place: of the cell in a row
    :param many: several columns go to this path
    """

    place: int
    name: str
    path: str
    reading: Reading
    many: bool


@dataclass(frozen=True)
class Plan:
    """A mapping that fits a file."""

    columns: tuple[Column, ...]
    constants: Mapping[str, Any]

    def values(self, cells: Sequence[Cell]) -> tuple[Values, dict[str, str]]:
        """(values by path, what is wrong by column) of one row."""
        values: Values = dict(self.constants)
        problems: dict[str, str] = {}
        for column in self.columns:
            try:
                cell = cells[column.place] if column.place < len(cells) else None
                value = convert(cell, column.reading)
            except ValueError as problem:
                problems[column.name] = str(problem)
                continue
            if value is None:
                continue
            if column.many:
                values.setdefault(column.path, []).append(value)
            else:
                values[column.path] = value
        return values, problems

    def keys_only(self) -> Plan:
        """The same for the columns alone that a record's key may be made of."""
        return Plan(tuple(one for one in self.columns if one.path.startswith(KEYS)), {})

    def column_of(self, path: str) -> str:
        """The column that a field comes from, for people; the path itself where there is none."""
        if path in MANY:
            named = dict.fromkeys(one.name for one in self.columns if MANY[path](one.path))
            return ", ".join(named) or path
        return next((one.name for one in self.columns if one.path == path), path)


def plan_of(target: Target, mapping: Mapping[str, Any], header: Sequence[str]) -> Plan:
    """The mapping, applied to a file with these columns.

    :raises InvalidInput: naming each part that does not fit
    """
    given = mapping.get("constants", {})
    fields = target.fields(given)
    problems: dict[str, str] = {}
    columns, paths = [], [one["to"] for one in mapping["columns"]]
    for index, one in enumerate(mapping["columns"]):
        field = _field(fields, one["to"])
        problem = _problem(one, field, header, paths)
        if problem or field is None:
            problems[f"columns.{index}"] = problem or "is unknown"
            continue
        many = field.many and paths.count(one["to"]) > 1
        columns.append(
            Column(
                header.index(one["column"]), one["column"], field.path, _reading(field, one, mapping), many
            )
        )
    constants = _constants(fields, given, mapping, problems)
    problems |= {} if problems else target.missing({*paths, *constants}, constants)
    if problems:
        raise InvalidInput("the mapping does not fit", fields=problems)
    return Plan(tuple(columns), constants)


def named_paths(mapping: Mapping[str, Any]) -> list[str]:
    """What a mapping writes: what its columns go to, then its constants."""
    return [*(one["to"] for one in mapping.get("columns", ())), *mapping.get("constants", {})]


def check_said(target: Target, plan: Plan, actor: Actor) -> None:
    """What a mapping names and says itself, in place of cells, has to be the right of whoever writes it.

    :raises InvalidInput: naming each field
    """
    hidden = target.hidden(actor) & {*(column.path for column in plan.columns), *plan.constants}
    if hidden:
        raise InvalidInput("the mapping does not fit", fields=dict.fromkeys(sorted(hidden), NO_FIELD))
    said: dict[str, list[Any]] = {path: [value] for path, value in plan.constants.items()}
    for column in plan.columns:
        for label in column.reading.labels:
            with suppress(ValueError):  # as with a cell that holds it
                said.setdefault(column.path, []).append(convert(label, column.reading))
    if problems := target.check_said(said, actor):
        raise InvalidInput("the mapping does not fit", fields=problems)


def _field(fields: Mapping[str, TargetField], path: str) -> TargetField | None:
    if path.startswith(OPENID) and len(path) > len(OPENID):
        return TargetField(path, Kind.TEXT, path, path)
    return fields.get(path)


def _problem(
    one: Mapping[str, Any], field: TargetField | None, header: Sequence[str], paths: Sequence[str]
) -> str | None:
    if one["column"] not in header:
        return f"the file has no column {one['column']}; it has " + ", ".join(header)
    if field is None:
        return f"{one['to']} {NO_FIELD}"
    if not field.many and paths.count(one["to"]) > 1:
        return f"two columns go to {one['to']}; it has one value"
    return None


def _reading(field: TargetField, one: Mapping[str, Any], mapping: Mapping[str, Any]) -> Reading:
    labels = {
        **field.labels,
        **{said.strip().casefold(): value for said, value in one.get("translations", {}).items()},
    }
    form = one.get("date_format") or mapping.get("date_format")
    comma = bool(one.get("decimal_comma", mapping.get("decimal_comma", False)))
    return Reading(field.kind, labels, form, comma, settings().corp.zone)


def _constants(
    fields: Mapping[str, TargetField],
    given: Mapping[str, Any],
    mapping: Mapping[str, Any],
    problems: dict[str, str],
) -> Values:
    found: Values = {}
    for path, value in given.items():
        field = _field(fields, path)
        try:
            if field is None:
                raise ValueError(NO_FIELD)
            found[path] = convert(value, _reading(field, {}, mapping))
        except ValueError as problem:
            problems[f"constants.{path}"] = str(problem)
    return {path: value for path, value in found.items() if value is not None}


def checked_source(mapping: Mapping[str, Any]) -> str:
    """The source under which rows are written; raises InvalidInput."""
    return source_name(mapping.get("source"))
