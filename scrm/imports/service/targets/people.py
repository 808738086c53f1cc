"""People: identities and fields, the company's own ones too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import func, select

from scrm.imports.service.converting import Kind
from scrm.imports.service.targets.identities import identities_of, identity_fields, surest
from scrm.imports.service.targets.registry import (
    Changes,
    Found,
    Origin,
    Target,
    TargetField,
    Values,
    register,
)
from scrm.kernel.batch import Batch, RowStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor, Permission
from scrm.people.models import Person
from scrm.people.queries.fields import FieldSpec, FieldType, field_specs
from scrm.people.service.checking import checked
from scrm.people.service.records import take_people
from scrm.people.service.values import NO_FILE, Said, hidden_fields, missing_files

PREFIX = "field:"
KINDS = {
    FieldType.NUMBER: Kind.NUMBER,
    FieldType.DATE: Kind.DAY,
    FieldType.CHOICE: Kind.CHOICE,
    FieldType.MULTI_CHOICE: Kind.LIST,
    FieldType.FILE: Kind.INTEGER,
}
ALSO = {
    "name": ("名字", "客户姓名", "客户名称", "full name", "customer name"),
    "birthday": ("出生日期", "出生年月日", "生日日期", "date of birth", "birth date"),
    "gender": ("性别", "sex"),
    "address": ("地址", "联系地址", "收货地址"),
    "company": ("公司", "公司名称", "单位", "organisation", "organization"),
}
OWN = (
    TargetField("source_id", Kind.TEXT, "编号", "id", also=("记录编号", "客户编号", "source_id", "record id", "customer id")),
    TargetField("at", Kind.MOMENT, "更新时间", "updated at", also=("修改时间", "最后更新", "updated_at", "last modified")),
)  # fmt: skip
HIDDEN = {"phone", "email"}  # these headers mean the identity


class People(Target):
    """Identities and fields of people; a record without an id of its own is known by its surest identity."""

    name, zh, en = "people", "客户资料", "people"
    permission, grouped = Permission.PEOPLE_WRITE, False

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """Identities, every field that is kept of people, and the record's own id and time."""
        own = {f"{PREFIX}{spec.key}": _field(spec) for spec in field_specs().values()}
        return {**{one.path: one for one in OWN}, **identity_fields(), **own}

    def hidden(self, actor: Actor) -> set[str]:
        """Fields of people that are shown to others only: a dry run says what stands in them."""
        return {f"{PREFIX}{key}" for key in hidden_fields(actor)}

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """Somebody must be named."""
        if any(path.startswith("identity:") for path in paths):
            return {}
        return {
            "identity:phone": "map a column that says who it is: phone, e-mail, member number or the like"
        }

    def key(self, values: Values) -> str | None:
        """The id of the record, or its surest identity."""
        return values.get("source_id") or surest(values)

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """One record of ``people:batch``."""
        values = rows[0]
        said = {path.removeprefix(PREFIX): v for path, v in values.items() if path.startswith(PREFIX)}
        made = {
            "source_id": self.key(values) or f"{origin.file[:24]}:{numbers[0]}",
            "identities": identities_of(values),
            "fields": said,
        }
        return made | ({"at": values["at"]} if "at" in values else {})

    def store(self, batch: Batch, actor: Actor) -> None:
        """As ``people:batch`` does."""
        take_people(batch, actor)

    def check_said(self, said: Mapping[str, Sequence[Any]], actor: Actor) -> dict[str, str]:
        """A mapping names no file that whoever wrote it may not see; cells are asked of whoever gave the file."""
        specs, now = field_specs(), utcnow()
        named = []
        for path, values in said.items():
            spec = specs.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
            if spec is None or spec.type is not FieldType.FILE:
                continue
            for value in values:
                with suppress(ValueError):  # what is no id at all is said of each row
                    named.append(Said(0, spec.key, checked(spec, value), "", now))
        return {f"{PREFIX}{one.field}": NO_FILE for one in missing_files(named, specs, actor)}

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """New persons, and fields and identities of known ones that change."""
        made = {after["id"] for before, after in changes.get("people", ()) if before is None}
        what = _by_person(changes)
        found: list[Found | None] = []
        for given, result in zip(batch.rows, batch.results, strict=True):
            if result["status"] == RowStatus.REFUSED:
                found.append(None)
                continue
            person = result["person_id"]
            mine = _of_row(what[person], given) if person in what else []
            status = "new" if person in made else "changed" if mine else "unchanged"
            made.discard(person)  # a second row of the same new person adds to it
            found.append(Found(status, person, mine))
        return found

    def base(self, source: str) -> int:
        """Everybody who is known."""
        return session().scalar(select(func.count()).where(Person.merged_into.is_(None))) or 0


def _field(spec: FieldSpec) -> TargetField:
    labels = {
        choice[name].casefold(): choice["value"]
        for choice in spec.choices
        for name in ("zh", "en")
        if choice.get(name)
    }
    also = ALSO.get(spec.key, ())
    if spec.key in HIDDEN:
        return TargetField(f"{PREFIX}{spec.key}", Kind.TEXT, f"资料{spec.name_zh}", f"{spec.name_en} field")
    kind = KINDS.get(spec.type, Kind.TEXT)
    return TargetField(f"{PREFIX}{spec.key}", kind, spec.name_zh, spec.name_en, (*also, spec.key), labels)


def _by_person(changes: Changes) -> dict[int, dict[str, dict[str, Any]]]:
    """Of each person, by field: what is different; a value that was said and does not stand says so."""
    what: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for before, after in changes.get("person_values", ()):
        if before is None:
            told = {"field": after["field"], "before": None, "after": after["value"], "stands": False}
            what[after["person_id"]][after["field"]] = told
    standing = {
        (row["person_id"], row["field"]): (before, after)
        for before, after in changes.get("person_fields", ())
        for row in [after or before]
    }
    for (person, name), (before, after) in standing.items():
        old, new = before and before["value"], after and after["value"]
        if old == new:
            what[person].pop(name, None)
        else:
            what[person][name] = {"field": name, "before": old, "after": new}
    for before, after in changes.get("identities", ()):
        if before is None:
            kind = f"identity:{after['kind']}"
            what[after["person_id"]][kind] = {"field": kind, "before": None, "after": after["value"]}
    return what


def _of_row(what: Mapping[str, dict[str, Any]], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = {*given.get("fields", {}), *(f"identity:{kind}" for kind in given["identities"])}
    return [change for name, change in what.items() if name in names]


register(People())
