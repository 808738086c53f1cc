"""Reading endpoints and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, text

from scrm.broadcasts.models import BroadcastTarget
from scrm.customers.models import Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from scrm.webhooks.models import EndpointState, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookSecret
from scrm.webhooks.service.claiming import message_id

Json = dict[str, Any]
ENDPOINT_FIELDS = (
    "id", "url", "description", "event_types", "payload", "max_per_second", "state", "reason", "disabled_at",
    "failures", "failing_since", "resume_at", "made_by", "created_at", "updated_at",
)  # fmt: skip
DELIVERY_COLUMNS = (
    WebhookDelivery.id, WebhookDelivery.endpoint_id, WebhookDelivery.event_id, WebhookEvent.type, WebhookEvent.key,
    WebhookEvent.noted_at, WebhookDelivery.state, WebhookDelivery.attempts, WebhookDelivery.next_at,
    WebhookDelivery.tried_at, WebhookDelivery.status, WebhookDelivery.error, WebhookDelivery.milliseconds,
    WebhookDelivery.finished_at,
)  # fmt: skip


def endpoint_page(query: Mapping[str, Any]) -> Json:
    """Endpoints, newest first, with the lives of their secrets; never the secrets."""
    listed = select(WebhookEndpoint).where(WebhookEndpoint.state != EndpointState.DELETED)
    page = paginate(listed, WebhookEndpoint.id, query)
    page["items"] = _with_secrets(page["items"])
    return page


def endpoint_detail(endpoint_id: int) -> Json:
    """One endpoint with what waits for it; raises NotFound."""
    row = session().get(WebhookEndpoint, endpoint_id, populate_existing=True)
    if row is None or row.state == EndpointState.DELETED:
        raise NotFound(f"there is no webhook endpoint {endpoint_id}; GET /webhook-endpoints lists them")
    waiting = session().execute(_WAITING, {"id": endpoint_id}).one()
    return {**_with_secrets([row])[0], "waiting": waiting.waiting, "oldest_waiting_at": waiting.oldest}


_WAITING = text("""
SELECT w.waiting, v.noted_at AS oldest FROM (
  SELECT count(*) AS waiting, min(event_id) AS first FROM webhook_deliveries
  WHERE endpoint_id = :id AND state = 'pending') w
LEFT JOIN webhook_events v ON v.id = w.first
""")


def _with_secrets(rows: Sequence[WebhookEndpoint]) -> list[Json]:
    secrets = _secrets([row.id for row in rows])
    return [
        {**{name: getattr(row, name) for name in ENDPOINT_FIELDS}, "secrets": secrets.get(row.id, [])}
        for row in rows
    ]


def _secrets(endpoint_ids: Iterable[int]) -> dict[int, list[Json]]:
    found: dict[int, list[Json]] = {}
    columns = WebhookSecret.endpoint_id, WebhookSecret.id, WebhookSecret.created_at, WebhookSecret.expires_at
    alive = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > utcnow())
    rows = select(*columns).where(WebhookSecret.endpoint_id.in_(list(endpoint_ids)), alive)
    for endpoint_id, id_, created_at, expires_at in session().execute(rows.order_by(WebhookSecret.id.desc())):
        shown = {"id": id_, "created_at": created_at, "expires_at": expires_at}
        found.setdefault(endpoint_id, []).append(shown)
    return found


def delivery_page(query: Mapping[str, Any]) -> Json:
    """Deliveries, newest first."""
    page = paginate(_delivery_list(query), WebhookDelivery.id, query)
    page["items"] = [_shown(row) for row in page["items"]]
    return page


def _delivery_list(filters: Mapping[str, Any]) -> Any:
    statement: Any = select(*DELIVERY_COLUMNS).join(WebhookEvent, WebhookEvent.id == WebhookDelivery.event_id)
    for name in ("endpoint_id", "event_id", "state"):
        if (value := filters.get(name)) is not None:
            statement = statement.where(getattr(WebhookDelivery, name) == value)
    if type_ := filters.get("type"):
        statement = statement.where(WebhookEvent.type == type_)
    if since := filters.get("since"):
        statement = statement.where(WebhookEvent.noted_at >= since)
    if until := filters.get("until"):
        statement = statement.where(WebhookEvent.noted_at < until)
    return statement


def delivery_detail(delivery_id: int) -> Json:
    """One delivery with its event's ids and its attempts, the newest last; raises NotFound."""
    found = select(*DELIVERY_COLUMNS, WebhookDelivery.tries, WebhookEvent.data).join(
        WebhookEvent, WebhookEvent.id == WebhookDelivery.event_id
    )
    row = session().execute(found.where(WebhookDelivery.id == delivery_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook delivery {delivery_id}")
    tries = [{**each, "at": datetime.fromisoformat(each["at"])} for each in row["tries"]]
    return _shown({**row, "tries": tries})


def _shown(row: Mapping[str, Any]) -> Json:
    return {**row, "webhook_id": message_id(row["key"])}


def follows_lost_before(adds: Sequence[tuple[int, datetime]]) -> set[tuple[int, datetime]]:
    """Of these (follow id, moment of an add), those whose relation had been lost before: it is an add again."""
    f = Follow
    ids = [follow_id for follow_id, _ in adds]
    rows = select(f.id, f.deleted_by_staff_at, f.deleted_by_customer_at).where(f.id.in_(ids))
    losses = {id_: [at for at in times if at is not None] for id_, *times in session().execute(rows)}
    return {(id_, at) for id_, at in adds if any(lost < at for lost in losses.get(id_, ()))}


def broadcast_results(broadcast_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """By broadcast, how many of its recipients are in each state."""
    target = BroadcastTarget
    counted = select(target.broadcast_id, target.state, func.count()).group_by(
        target.broadcast_id, target.state
    )
    found: dict[int, dict[str, int]] = {}
    for id_, state, count in session().execute(counted.where(target.broadcast_id.in_(list(broadcast_ids)))):
        found.setdefault(id_, {})[str(state)] = count
    return found
