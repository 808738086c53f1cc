"""Events of one registered type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from scrm.behaviour.models import EventKey, EventType
from scrm.behaviour.service import storing
from scrm.behaviour.service.checking import PropertyType
from scrm.imports.service.converting import Kind
from scrm.imports.service.targets.identities import identities_of, identity_fields
from scrm.imports.service.targets.records import differences, found_by_status
from scrm.imports.service.targets.registry import (
    Changes,
    Found,
    Origin,
    Target,
    TargetField,
    Values,
    register,
)
from scrm.kernel.batch import Batch
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor, Permission

PREFIX = "property:"
KINDS = {
    PropertyType.TEXT: Kind.TEXT,
    PropertyType.NUMBER: Kind.NUMBER,
    PropertyType.INTEGER: Kind.INTEGER,
    PropertyType.BOOLEAN: Kind.TRUTH,
    PropertyType.TIME: Kind.MOMENT,
    PropertyType.LIST: Kind.LIST,
}
OWN = (
    TargetField("source_id", Kind.TEXT, "事件编号", "event id", also=("编号", "id", "流水号", "source_id")),
    TargetField("at", Kind.MOMENT, "时间", "at", also=("发生时间", "事件时间", "日期", "time", "date", "event time")),
    TargetField("type", Kind.TEXT, "事件类型", "event type"),
)  # fmt: skip
TYPE = "is missing: give the key of a registered event type as a constant; a file holds events of one type"


class Events(Target):
    """Events of one type; without ids of their own they are known by file and row."""

    name, zh, en = "events", "行为事件", "events"
    permission, grouped = Permission.EVENTS_WRITE, False

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """When and who, and the properties of the type that the constants name."""
        kind = (
            session().scalars(select(EventType).where(EventType.key == constants.get("type"))).one_or_none()
        )
        own = [_property(one) for one in (kind.properties if kind else ())]
        return {**{one.path: one for one in (*OWN, *own)}, **identity_fields()}

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """An event has a type, a time and somebody who did it."""
        problems = {} if "type" in constants else {"type": TYPE}
        if "at" not in paths:
            problems["at"] = "map the column that says when it happened"
        if not any(path.startswith("identity:") for path in paths):
            problems["identity:phone"] = "map a column that says who it was"
        return problems

    def key(self, values: Values) -> str | None:
        """The event's own id, if it has one."""
        found: str | None = values.get("source_id")
        return found

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """One event of ``events:batch``."""
        values = rows[0]
        said = {path.removeprefix(PREFIX): v for path, v in values.items() if path.startswith(PREFIX)}
        made = {
            "source_id": values.get("source_id") or f"{origin.file[:24]}:{numbers[0]}",
            "type": values.get("type"),
            "at": values.get("at"),
            "identities": identities_of(values),
            "properties": said,
        }
        return {name: value for name, value in made.items() if value is not None}

    def make_room(self, batch: Batch) -> None:
        """Partitions of months that have none yet."""
        storing.make_room(storing.check_events(batch))

    def store(self, batch: Batch, actor: Actor) -> None:
        """As ``events:batch`` does."""
        storing.store_events(batch, storing.check_events(batch))

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """What the service says, with what differs."""
        what = {
            after["source_id"]: differences(before, after, ("at", "person_id", "properties"))
            for before, after in changes.get("behaviour_events", ())
            if before is not None and after is not None
        }
        return found_by_status(batch, lambda source_id: what.get(source_id, []))

    def base(self, source: str) -> int:
        """Events of this source."""
        return session().scalar(select(func.count()).where(EventKey.source == source)) or 0


def _property(one: Mapping[str, Any]) -> TargetField:
    kind = KINDS[PropertyType(one["type"])]
    zh, en = one.get("name_zh") or one["key"], one.get("name_en") or one["key"]
    return TargetField(f"{PREFIX}{one['key']}", kind, zh, en, (one["key"].casefold(),))


register(Events())
