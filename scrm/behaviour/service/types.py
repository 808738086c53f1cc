"""Which events may come, and what they say."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.behaviour.registry import users_of
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound

MOST_TYPES = 1000


def event_type(type_id: int) -> EventType:
    """One type; raises NotFound."""
    found = session().get(EventType, type_id)
    if found is None:
        raise NotFound(f"there is no event type {type_id}")
    return found


def create_event_type(data: dict[str, Any]) -> EventType:
    """Register a type of events.

    :param data: the loaded ``EventTypeIn``
    :raises Conflict: a type of this key exists
    :raises InvalidInput: two properties of one key
    """
    if session().scalar(select(EventType.id).where(EventType.key == data["key"])):
        raise Conflict(f"there is an event type {data['key']} already; change it, or choose another key")
    if len(session().scalars(select(EventType.id)).all()) >= MOST_TYPES:
        raise Conflict(f"there are {MOST_TYPES} event types already; tell kinds apart by a property")
    _check_keys(data.get("properties", []))
    made = EventType(**data)
    session().add(made)
    session().flush()
    session().refresh(made)
    return made


def change_event_type(type_id: int, data: dict[str, Any]) -> EventType:
    """Change names, properties, retention or where events show.

    :raises Conflict: a property that events carry would become another type, or one that conditions name would go
    """
    kind = event_type(type_id)
    if "properties" in data:
        _check_keys(data["properties"])
        _keep_types(kind, data["properties"])
        _keep_named(kind, data["properties"])
    if "archived" in data:
        archived = data.pop("archived")
        kind.archived_at = (kind.archived_at or utcnow()) if archived else None
    for name, value in data.items():
        setattr(kind, name, value)
    session().flush()
    session().refresh(kind)
    return kind


def _check_keys(properties: list[dict[str, Any]]) -> None:
    keys = [one["key"] for one in properties]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise InvalidInput.field(f"properties.{index}.key", f"{key} is there twice")


def _keep_types(kind: EventType, properties: list[dict[str, Any]]) -> None:
    before = {one["key"]: one["type"] for one in kind.properties}
    turned = [one["key"] for one in properties if before.get(one["key"], one["type"]) != one["type"]]
    if turned and session().scalar(select(exists().where(BehaviourEvent.type_id == kind.id))):
        raise Conflict(f"events carry {', '.join(turned)} as they are; add a property of another key instead")


def _keep_named(kind: EventType, properties: list[dict[str, Any]]) -> None:
    gone = {one["key"] for one in kind.properties} - {one["key"] for one in properties}
    if gone and (users := users_of(kind.id, frozenset(gone))):
        told = ", ".join(f"{user.kind} {user.id} ({user.name})" for user in users)
        keys = ", ".join(sorted(gone))
        raise Conflict(
            f"of the properties that would go ({keys}) some are used by {told}; change those first",
            code="event-property-in-use",
        )
