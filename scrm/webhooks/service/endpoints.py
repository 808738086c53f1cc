"""Endpoints: who wants to hear of what, at which address."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.permissions import Actor, Permission
from scrm.kernel.settings import settings
from scrm.webhooks.events import DeliveriesWanted
from scrm.webhooks.models import DisabledReason, EndpointState, Payload, WebhookEndpoint
from scrm.webhooks.service.addresses import AddressRefused, Rules, parse_target, resolve
from scrm.webhooks.service.catalogue import PING
from scrm.webhooks.service.noting import note_for
from scrm.webhooks.service.secrets import add_secret, forget_secrets

MOST_ENDPOINTS = 100
"""Every transaction that has news asks what endpoints want, and every round of deliveries looks at each of them."""
FAT_NEEDS = (Permission.CUSTOMERS_READ, Permission.ORDERS_READ)
HEALTHY: dict[str, Any] = {"failures": 0, "failing_since": None, "resume_at": None}


def check_address(url: str) -> None:
    """Refuse an address that nothing may be sent to; asks DNS, so no transaction should be open.

    :raises InvalidInput: naming ``url``
    """
    rules = Rules.of(settings().webhooks)
    try:
        resolve(parse_target(url, rules), rules)
    except AddressRefused as refused:
        raise InvalidInput.field("url", str(refused)) from None


def endpoint(endpoint_id: int, *, lock: bool = False) -> WebhookEndpoint:
    """An endpoint that is not deleted; raises NotFound."""
    found = select(WebhookEndpoint).where(
        WebhookEndpoint.id == endpoint_id, WebhookEndpoint.state != EndpointState.DELETED
    )
    row = session().scalars(found.with_for_update(key_share=True) if lock else found).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook endpoint {endpoint_id}; GET /webhook-endpoints lists them")
    return row


def create_endpoint(data: dict[str, Any], actor: Actor) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint whose address was checked; returns it and its secret, which cannot be shown again.

    :raises Forbidden: for person data that the actor may not read
    :raises Conflict: when there are MOST_ENDPOINTS
    """
    _may_have(data.get("payload"), actor)
    hold_in_transaction("webhooks.endpoints")
    living = select(func.count()).where(WebhookEndpoint.state != EndpointState.DELETED)
    if session().scalar(living) >= MOST_ENDPOINTS:  # type: ignore[operator]  # count(*) is a number
        raise Conflict(f"there are {MOST_ENDPOINTS} webhook endpoints; delete one that nobody needs")
    row = WebhookEndpoint(made_by=actor.name, **{**data, "event_types": sorted(set(data["event_types"]))})
    session().add(row)
    session().flush()
    session().refresh(row)
    return row, add_secret(row.id)


def change_endpoint(endpoint_id: int, data: dict[str, Any], actor: Actor) -> WebhookEndpoint:
    """Change the given fields. Activating forgets failures; what was open when it was disabled goes out then."""
    row = endpoint(endpoint_id, lock=True)
    if data.get("payload") == Payload.FAT or (row.payload == Payload.FAT and "url" in data):
        _may_have(Payload.FAT, actor)
    state = data.pop("state", None)
    if "event_types" in data:
        data["event_types"] = sorted(set(data["event_types"]))
    for name, value in data.items():
        setattr(row, name, value)
    if state == EndpointState.DISABLED and row.state == EndpointState.ACTIVE:
        _set(row, state=state, reason=DisabledReason.PERSON, disabled_at=utcnow())
    if state == EndpointState.ACTIVE and row.state == EndpointState.DISABLED:
        _set(row, state=state, reason=None, disabled_at=None, **HEALTHY)
        publish(DeliveriesWanted())
    session().flush()
    return row


def delete_endpoint(endpoint_id: int) -> None:
    """Take an endpoint away with its secrets; its deliveries stay as a record until they are forgotten."""
    row = endpoint(endpoint_id, lock=True)
    _set(row, state=EndpointState.DELETED, reason=None, disabled_at=utcnow())
    forget_secrets(endpoint_id)
    session().flush()


def ping(endpoint_id: int) -> int:
    """Have a test event sent; returns the id of its delivery.

    :raises Conflict: when the endpoint is disabled
    """
    row = endpoint(endpoint_id)
    if row.state != EndpointState.ACTIVE:
        raise Conflict("the endpoint is disabled; set its state to active first")
    return note_for(row.id, PING, {"endpoint_id": row.id})


def _set(row: WebhookEndpoint, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def _may_have(payload: Any, actor: Actor) -> None:
    missing = [str(each) for each in FAT_NEEDS if each not in actor.permissions]
    if payload == Payload.FAT and missing:
        raise Forbidden(f"payload fat carries person data; the key needs {' and '.join(missing)} for it too")
