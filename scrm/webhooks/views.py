"""Outgoing webhooks in the API.

No view here keeps its answer for an ``Idempotency-Key``: that would store a new secret in plain text.
"""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import PageQuery, api_blueprint, page_schema
from scrm.kernel.permissions import Actor, Permission, current_actor, needs
from scrm.kernel.settings import settings
from scrm.webhooks import queries
from scrm.webhooks.schemas import (
    DeliveryDetail,
    DeliveryOut,
    DeliveryQuery,
    EndpointChange,
    EndpointDetail,
    EndpointIn,
    EndpointMade,
    EndpointOut,
    RedeliveredOut,
    RedeliverIn,
    RotationIn,
    SecretMade,
    WebhookTypesOut,
)
from scrm.webhooks.service import endpoints, redelivery, secrets
from scrm.webhooks.service.catalogue import TYPES, patterns
from scrm.webhooks.service.redelivery import Again, Span

blueprint = api_blueprint("webhooks", "外发 webhook: events that go out to other systems, signed")


def _actor() -> Actor:
    actor = current_actor()
    actor.require_everyone("webhooks tell of")
    return actor


@blueprint.route("/webhook-event-types")
@needs(Permission.WEBHOOKS_READ)
@blueprint.response(200, WebhookTypesOut)
def list_webhook_event_types() -> dict[str, Any]:
    """Every type of events, with its words and the JSON Schema of its body."""
    items = [
        {"type": each.name, "zh": each.zh, "en": each.en, "fat": each.fat, "schema": each.schema()}
        for each in TYPES.values()
    ]
    return {"items": items, "subscriptions": patterns()}


@blueprint.route("/webhook-endpoints")
@needs(Permission.WEBHOOKS_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(EndpointOut))
def list_endpoints(query: dict[str, Any]) -> dict[str, Any]:
    """Endpoints, newest first."""
    _actor()
    return queries.endpoint_page(query)


@blueprint.route("/webhook-endpoints", methods=["POST"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.arguments(EndpointIn)
@blueprint.response(201, EndpointMade)
def create_endpoint(data: dict[str, Any]) -> dict[str, Any]:
    """Make an endpoint; the answer shows its secret, this once. Its address is looked up before."""
    actor = _actor()
    endpoints.check_address(data["url"])
    with transaction():
        row, secret = endpoints.create_endpoint(data, actor)
    return {**queries.endpoint_detail(row.id), "secret": secret}


@blueprint.route("/webhook-endpoints/<int:endpoint_id>")
@needs(Permission.WEBHOOKS_READ)
@blueprint.response(200, EndpointDetail)
def get_endpoint(endpoint_id: int) -> dict[str, Any]:
    """One endpoint, its health and what waits for it."""
    _actor()
    return queries.endpoint_detail(endpoint_id)


@blueprint.route("/webhook-endpoints/<int:endpoint_id>", methods=["PATCH"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.arguments(EndpointChange)
@blueprint.response(200, EndpointDetail)
def change_endpoint(data: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Change the given fields; ``state`` disables it, or activates it again."""
    actor = _actor()
    if "url" in data:
        endpoints.check_address(data["url"])
    with transaction():
        endpoints.change_endpoint(endpoint_id, data, actor)
    return queries.endpoint_detail(endpoint_id)


@blueprint.route("/webhook-endpoints/<int:endpoint_id>", methods=["DELETE"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.response(204)
def delete_endpoint(endpoint_id: int) -> None:
    """Take an endpoint away; nothing more is sent to it."""
    _actor()
    with transaction():
        endpoints.delete_endpoint(endpoint_id)


@blueprint.route("/webhook-endpoints/<int:endpoint_id>/secrets", methods=["POST"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.arguments(RotationIn)
@blueprint.response(201, SecretMade)
def rotate_secret(data: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Make a new secret, shown this once; the old ones sign beside it for a while."""
    _actor()
    hours = data.get("hours", settings().webhooks.rotation_hours)
    with transaction():
        endpoints.endpoint(endpoint_id, lock=True)
        return {"secret": secrets.rotate_secret(endpoint_id, hours)}


@blueprint.route("/webhook-endpoints/<int:endpoint_id>/ping", methods=["POST"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.response(202, DeliveryDetail)
def ping_endpoint(endpoint_id: int) -> dict[str, Any]:
    """Have a ``webhook.ping`` sent; look at the delivery a moment later."""
    _actor()
    with transaction():
        delivery_id = endpoints.ping(endpoint_id)
    return queries.delivery_detail(delivery_id)


@blueprint.route("/webhook-endpoints/<int:endpoint_id>/redeliver", methods=["POST"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.arguments(RedeliverIn)
@blueprint.response(200, RedeliveredOut)
def redeliver_many(data: dict[str, Any], endpoint_id: int) -> Again:
    """Send again what failed since a time; with ``states`` also what had arrived."""
    _actor()
    span = Span(data["since"], data.get("until"))
    with transaction():
        return redelivery.redeliver_since(endpoint_id, span, data["states"], data["after"])


@blueprint.route("/webhook-deliveries")
@needs(Permission.WEBHOOKS_READ)
@blueprint.arguments(DeliveryQuery, location="query")
@blueprint.response(200, page_schema(DeliveryOut))
def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """Deliveries, newest first."""
    _actor()
    return queries.delivery_page(query)


@blueprint.route("/webhook-deliveries/<int:delivery_id>")
@needs(Permission.WEBHOOKS_READ)
@blueprint.response(200, DeliveryDetail)
def get_delivery(delivery_id: int) -> dict[str, Any]:
    """One delivery with its event; ids only, also where the endpoint gets more."""
    _actor()
    return queries.delivery_detail(delivery_id)


@blueprint.route("/webhook-deliveries/<int:delivery_id>/redeliver", methods=["POST"])
@needs(Permission.WEBHOOKS_WRITE)
@blueprint.response(202, DeliveryDetail)
def redeliver_one(delivery_id: int) -> dict[str, Any]:
    """Send one again, now; its ``webhook-id`` stays the same."""
    _actor()
    with transaction():
        redelivery.redeliver(delivery_id)
    return queries.delivery_detail(delivery_id)
