"""Which broadcasts a caller may see and touch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, select, true

from scrm.broadcasts.models import Broadcast
from scrm.broadcasts.queries.bulk import bigints
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Actor, Scope
from tags.rules.queries.veiling import Reader


def visible(scope: Scope) -> ColumnElement[bool]:
    """Broadcasts a caller may see: those whose data scope lies within the caller's own."""
    if scope.everyone:
        return true()
    within: ColumnElement[bool] = Broadcast.scope_staff_ids.bool_op("<@")(bigints(sorted(scope.staff_ids)))
    return and_(Broadcast.scope_staff_ids.is_not(None), within)


def broadcast_for(broadcast_id: int, scope: Scope, *, lock: bool = False) -> Broadcast:
    """One broadcast as it stands in the database; NotFound when it does not exist or lies outside the scope."""
    statement = select(Broadcast).where(Broadcast.id == broadcast_id, visible(scope))
    if lock:
        statement = statement.with_for_update()
    found = session().scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound(f"there is no broadcast {broadcast_id}")
    return found


def broadcast_shown(actor: Actor, broadcast: Broadcast) -> dict[str, Any]:
    """A broadcast as an actor may read it: of its condition nothing that the actor could not ask."""
    columns = {column.key: getattr(broadcast, column.key) for column in Broadcast.__table__.columns}
    condition = broadcast.audience.get("condition")
    if not condition:
        return columns
    return {**columns, "audience": {**broadcast.audience, "condition": Reader(actor).condition(condition)}}
