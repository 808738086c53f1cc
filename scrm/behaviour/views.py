"""Event types and batches of events in the API."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request
from sqlalchemy import select

from scrm.behaviour import queries
from scrm.behaviour.models import EventType
from scrm.behaviour.schemas import (
    EventBatchIn,
    EventOut,
    EventQuery,
    EventTypeChange,
    EventTypeIn,
    EventTypeOut,
)
from scrm.behaviour.service import storing, types
from scrm.kernel.batch import read_batch
from scrm.kernel.db import transaction
from scrm.kernel.hooks import signed
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.kernel.schemas import BatchOut

blueprint = api_blueprint("behaviour", "行为事件 what people did elsewhere: event types and events")
BODY = {"required": True, "content": {"application/json": {"schema": EventBatchIn}}}


@blueprint.route("/events:batch", methods=["POST"])
@needs(Permission.EVENTS_WRITE)
@blueprint.doc(requestBody=BODY)
@blueprint.response(200, BatchOut)
def store_events() -> Response:
    """Store up to 1,000 events of one source; each row gets its own result.

    A row is known by (source, source_id): the same again changes nothing, another content replaces what stands.
    """
    current_actor().require_everyone("a batch may concern")
    return _take_in(request.get_data())


@blueprint.route("/hooks/<string:source>/events", methods=["POST"])
@signed
@blueprint.doc(requestBody=BODY, security=[])
@blueprint.response(200, BatchOut)
def receive_events(source: str, body: bytes) -> Response:
    """The same for a source that signs its requests (Standard Webhooks) instead of using an API key."""
    return _take_in(body, source)


def _take_in(body: bytes, source: str | None = None) -> Response:
    batch = read_batch(body, "events", source)
    checked = storing.check_events(batch)
    with transaction():
        storing.make_room(checked)
    with transaction():
        storing.store_events(batch, checked)
    return Response(orjson.dumps(batch.answer()), mimetype="application/json")


@blueprint.route("/people/<int:person_id>/events")
@needs(Permission.EVENTS_READ)
@blueprint.arguments(EventQuery, location="query")
@blueprint.response(200, page_schema(EventOut))
def list_events(query: dict[str, Any], person_id: int) -> dict[str, Any]:
    """What a person did, newest first."""
    return queries.event_page(current_actor().scope, person_id, query)


@blueprint.route("/event-types")
@needs(Permission.EVENTS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(EventTypeOut))
def list_event_types(query: dict[str, Any]) -> Any:
    """Registered types, newest first."""
    return paginate(select(EventType), EventType.id, query)


@blueprint.route("/event-types", methods=["POST"])
@needs(Permission.EVENTS_WRITE)
@idempotent
@blueprint.arguments(EventTypeIn)
@blueprint.response(201, EventTypeOut)
def create_event_type(data: dict[str, Any]) -> EventType:
    """Register a type of events; only registered ones are taken in."""
    return types.create_event_type(data)


@blueprint.route("/event-types/<int:type_id>")
@needs(Permission.EVENTS_READ)
@blueprint.response(200, EventTypeOut)
def get_event_type(type_id: int) -> EventType:
    """Show one type."""
    return types.event_type(type_id)


@blueprint.route("/event-types/<int:type_id>", methods=["PATCH"])
@needs(Permission.EVENTS_WRITE)
@blueprint.arguments(EventTypeChange)
@blueprint.response(200, EventTypeOut)
def change_event_type(data: dict[str, Any], type_id: int) -> EventType:
    """Change words, properties, retention, or archive the type."""
    with transaction():
        return types.change_event_type(type_id, data)
