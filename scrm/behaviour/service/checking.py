"""Is an event right? One checker per registered type, put together once (docs/adr/0013)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from scrm.behaviour.models import EventType, Unknown
from scrm.kernel.batch import (
    Checker,
    RowProblem,
    Shape,
    any_moment,
    items_of,
    moment,
    number,
    text_of,
    truth,
    whole,
)
from scrm.kernel.clock import utcnow
from scrm.people.service.sent import sent_identities

MOST_ITEMS = 100
ID_CHARS = 128


class PropertyType(StrEnum):
    """What a property of an event can be."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIME = "time"  # kept in UTC, as ISO 8601
    LIST = "list"  # of texts


CHECKERS: dict[PropertyType, Checker] = {
    PropertyType.TEXT: text_of(),
    PropertyType.NUMBER: number,
    PropertyType.INTEGER: whole,
    PropertyType.BOOLEAN: truth,
    PropertyType.TIME: lambda given: any_moment(given).isoformat(),
    PropertyType.LIST: items_of(text_of(), most=MOST_ITEMS),
}


def _any(given: Any) -> Any:
    return given


ROW = Shape(
    {
        "source_id": text_of(ID_CHARS),
        "type": text_of(64),
        "at": moment,
        "identities": sent_identities,
        "properties": _any,
    },
    required=("source_id", "type", "at", "identities"),
)


class EventShape:
    """Checks rows of events; the checked row has ``type_id`` and checked ``properties``.

    :param types: the registered types by key, archived ones too
    """

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self.types = types
        self.shapes = {key: property_shape(kind) for key, kind in types.items()}
        now = utcnow()
        self.oldest: dict[str, datetime] = {
            key: now - timedelta(days=kind.retention_days)
            for key, kind in types.items()
            if kind.retention_days is not None
        }

    def __call__(self, given: Any) -> dict[str, Any]:
        """The checked row; raises RowProblem."""
        row = ROW(given)
        kind = self._type(row)
        try:
            row["properties"] = self.shapes[kind.key](row.get("properties", {}))
        except RowProblem as problem:
            raise RowProblem(problem.under("properties")) from None
        row["type_id"] = kind.id
        return row

    def _type(self, row: Mapping[str, Any]) -> EventType:
        kind = self.types.get(row["type"])
        if kind is None:
            raise RowProblem({"type": "is not registered; POST it to /api/v1/event-types first"})
        if kind.archived_at is not None:
            raise RowProblem({"type": "is archived and takes no more events"})
        if kind.key in self.oldest and row["at"] < self.oldest[kind.key]:
            raise RowProblem({"at": f"lies before the {kind.retention_days} days that this type is kept"})
        return kind


def property_shape(kind: EventType) -> Shape:
    """The checker of a type's properties."""
    return _property_shape(orjson.dumps(kind.properties), kind.unknown_properties is Unknown.KEEP)


@lru_cache(maxsize=1000)
def _property_shape(definition: bytes, keep_unknown: bool) -> Shape:
    properties = orjson.loads(definition)
    checkers = {one["key"]: CHECKERS[PropertyType(one["type"])] for one in properties}
    required = tuple(one["key"] for one in properties if one.get("required"))
    return Shape(checkers, required, keep_unknown=keep_unknown)
