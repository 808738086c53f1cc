"""Reading events of a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, tuple_

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Scope
from scrm.kernel.schemas import LIMIT_DEFAULT
from scrm.people.queries.people import whole_person

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def event_page(scope: Scope, person_id: int, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of a person's events, newest first; ``type`` limits it to one type.

    :raises NotFound: no such person, or outside the scope
    :raises InvalidInput: a cursor that is not ours
    """
    event, limit = BehaviourEvent, filters.get("limit", LIMIT_DEFAULT)
    statement = select(
        event.id, event.at, EventType.key.label("type"), event.properties, event.source, event.source_id
    ).join(EventType, EventType.id == event.type_id)
    statement = statement.where(event.person_id == whole_person(scope, person_id))
    if kind := filters.get("type"):
        statement = statement.where(EventType.key == kind)
    if cursor := filters.get("cursor"):
        at, event_id = _position(cursor)
        # the first clause lets partitions be skipped
        statement = statement.where(event.at <= at, tuple_(event.at, event.id) < (at, event_id))
    rows = session().execute(statement.order_by(event.at.desc(), event.id.desc()).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = last and f"{(last.at - EPOCH) // MICROSECOND}.{last.id}"
    return {"items": [dict(row._mapping) for row in rows[:limit]], "next_cursor": cursor}


def _position(cursor: str) -> tuple[datetime, int]:
    microseconds, _, event_id = cursor.partition(".")
    try:
        return EPOCH + int(microseconds) * MICROSECOND, int(event_id)
    except (ValueError, OverflowError):
        raise InvalidInput.field(
            "cursor", "is not one of ours; give next_cursor of the page before"
        ) from None
