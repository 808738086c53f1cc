"""Making and changing a broadcast before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scrm.broadcasts.models import Broadcast, BroadcastKind, BroadcastState
from scrm.broadcasts.queries.audience import customers_in_scope, groups_in_scope
from scrm.broadcasts.queries.bulk import in_list
from scrm.broadcasts.queries.saved_audiences import NAMING, check_conditions
from scrm.broadcasts.queries.visibility import broadcast_for
from scrm.broadcasts.service.states import EDITABLE
from scrm.customers.models import Customer
from scrm.groups.models import CustomerGroup
from scrm.kernel.clock import from_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.permissions import Actor, Scope
from scrm.kernel.settings import settings
from scrm.media.service.uploading import keep_ready

NAMED_MAX = 20  # unknown ids shown in an error
AUDIENCES = {
    BroadcastKind.CUSTOMERS: ("condition", "customer_ids", "all", *NAMING),
    BroadcastKind.GROUPS: ("group_ids", "all"),
}
IDS = {"customer_ids", "group_ids"}


def create_broadcast(data: Mapping[str, Any], actor: Actor) -> Broadcast:
    """Make a draft, or with ``send_at`` a scheduled broadcast.

    :param data: a loaded ``BroadcastIn``
    :raises InvalidInput: time in the past, audience of the wrong kind, unknown ids, bad condition tree
    """
    scope = actor.scope
    check_audience(data["kind"], data["audience"], scope)
    send_at = future_time(data.get("send_at"))
    keep_ready(data.get("attachments") or [])
    made = Broadcast(
        name=data["name"],
        kind=data["kind"],
        state=BroadcastState.SCHEDULED if send_at else BroadcastState.DRAFT,
        text=data.get("text") or None,
        attachments=data.get("attachments") or [],
        audience=data["audience"],
        scope_staff_ids=None if scope.everyone else sorted(scope.staff_ids),
        send_at=send_at,
        made_by=actor.name,
    )
    session().add(made)
    session().flush()
    return made


def edit_broadcast(broadcast_id: int, changes: Mapping[str, Any], scope: Scope) -> Broadcast:
    """Change a broadcast that has not started; with a time it is scheduled, with ``send_at: null`` a draft again."""
    found = _editable(broadcast_id, scope)
    if "audience" in changes:
        check_audience(found.kind, changes["audience"], _own_scope(found))
    keep_ready(changes.get("attachments") or [])
    for name in ("name", "text", "attachments", "audience"):
        if name in changes:
            setattr(found, name, changes[name] or ([] if name == "attachments" else None))
    if not (found.text or "").strip() and not found.attachments:
        raise InvalidInput.field("text", "text and attachments may not both be empty")
    if "send_at" in changes:
        _set_time(found, future_time(changes["send_at"]))
    session().flush()
    return found


def schedule_broadcast(broadcast_id: int, send_at: datetime, scope: Scope) -> Broadcast:
    """Give a broadcast the time at which it starts by itself."""
    found = _editable(broadcast_id, scope)
    _set_time(found, future_time(send_at))
    session().flush()
    return found


def delete_broadcast(broadcast_id: int, scope: Scope) -> None:
    """Forget a broadcast that has not started."""
    session().delete(_editable(broadcast_id, scope))
    session().flush()


def future_time(wall: datetime | None) -> datetime | None:
    """A wall-clock time without zone is read in the corp's zone; InvalidInput when it is past."""
    if wall is None:
        return None
    zone = settings().corp.zone
    moment = from_zone(wall, zone)
    if moment <= utcnow():
        raise InvalidInput.field(
            "send_at",
            f"{wall.isoformat()} is past (a time without zone is read as {zone.key}); give one to come",
        )
    return moment


def check_audience(kind: BroadcastKind, audience: Mapping[str, Any], scope: Scope) -> None:
    """Raise InvalidInput unless this audience suits ``kind`` and everything it names exists for the caller."""
    for chosen in audience:
        if chosen not in AUDIENCES[kind]:
            allowed = ", ".join(AUDIENCES[kind])
            raise InvalidInput.field(
                f"audience.{chosen}", f"does not suit a broadcast to {kind}; give one of: {allowed}"
            )
    check_conditions(audience)
    for chosen in IDS & audience.keys():
        _check_ids(chosen, audience[chosen], scope)


def _check_ids(name: str, ids: list[int], scope: Scope) -> None:
    staff_ids = None if scope.everyone else sorted(scope.staff_ids)
    if name == "customer_ids":
        known = select(Customer.id).where(in_list(Customer.id, ids), customers_in_scope(staff_ids))
    else:
        known = select(CustomerGroup.id).where(in_list(CustomerGroup.id, ids), groups_in_scope(staff_ids))
    unknown = sorted(set(ids) - set(session().scalars(known)))
    if unknown:
        shown = ", ".join(map(str, unknown[:NAMED_MAX])) + (", …" if len(unknown) > NAMED_MAX else "")
        raise InvalidInput.field(f"audience.{name}", f"{len(unknown)} unknown: {shown}")


def _own_scope(found: Broadcast) -> Scope:
    """The data scope a broadcast was made with; an edit by somebody with more does not widen it."""
    return Scope.all() if found.scope_staff_ids is None else Scope.of_staff(*found.scope_staff_ids)


def _editable(broadcast_id: int, scope: Scope) -> Broadcast:
    found = broadcast_for(broadcast_id, scope, lock=True)
    if found.state not in EDITABLE:
        raise Conflict(
            f"broadcast {broadcast_id} is {found.state}; only a draft or scheduled one can be changed"
        )
    return found


def _set_time(found: Broadcast, send_at: datetime | None) -> None:
    found.send_at = send_at
    found.state = BroadcastState.SCHEDULED if send_at else BroadcastState.DRAFT
